"""Owns the check that a state_dict carries the model: saved, loaded into a fresh construction, asked again."""

from __future__ import annotations

import dataclasses
import itertools
import os
import tempfile
from typing import Any

import torch
from torch import nn

from workbench.protocol.artifacts import CheckRow
from workbench.protocol.model import ModeChange
from workbench.protocol.runs import BEYOND, IDENTICAL, INCOMPARABLE, LeafDiff
from workbench.worker.bench import load as loading
from workbench.worker.bench.failing import first_line
from workbench.worker.bench.modes import apply, read_modes
from workbench.worker.bench.words import counted, some
from workbench.worker.judge.checks_again import differs_already
from workbench.worker.judge.checks_run import Subject, multiple_words
from workbench.worker.judge.lines import first_change
from workbench.worker.judge.store import same_tensor
from workbench.worker.judge.switches import Switches

DEPTH, MOST = 4, 1000
"""Containers within each other that are looked into, and things in each."""


_OWN = frozenset(vars(nn.Module()))
"""What nn.Module keeps for itself."""


def check_reload(subject: Subject) -> CheckRow:
    """The state_dict, saved to a file and loaded strictly into a fresh model of the recipe, gives the same answers."""
    subject.need(2)
    former = loading.IMPORTS.current
    try:
        with tempfile.TemporaryDirectory(prefix="workbench-reload-") as folder:
            fresh, problem = _reloaded(subject, os.path.join(folder, "state.pt"))
        if fresh is None:
            return problem
        return _compare_reloaded(subject, fresh)
    finally:
        loading.IMPORTS.go_back(former)


def _reloaded(subject: Subject, path: str) -> tuple[nn.Module | None, CheckRow]:
    """A fresh model with the state of the one on the bench, in the same modes; None and the row that says why not."""
    bench = subject.bench
    switches = Switches()
    made = _made(subject)
    switches.put()  # a fresh model is built as the first one was: a forward may leave another default dtype
    state = bench.model.state_dict()
    try:
        torch.save(state, path)
        loaded = torch.load(path, weights_only=True)
    except OSError:
        raise
    except Exception as problem:  # noqa: BLE001 (state_dict hooks and extra state are the model's own code)
        evidence = f"The state_dict does not go through a file with weights_only: {first_line(problem)}"
        return None, subject.failed(evidence, "It holds more than tensors.", "Keep get_extra_state to tensors.")
    # without the weights and from another seed, so that all that agrees comes out of the state_dict
    recipe = dataclasses.replace(bench.recipe, weights="", init_seed=bench.recipe.construction_seed + 1)
    built = loading.build(recipe, subject.job)
    if built.model is bench.model:
        return None, subject.skipped("The target is one instance: there is no fresh construction to load into.")
    modes = bench.modes
    change = ModeChange(training=modes.training, flips=modes.flips, dtype=modes.dtype, device=modes.device)
    apply(built.model, None, read_modes(built.model), change)
    try:
        built.model.load_state_dict(loaded, strict=True)
    except Exception as problem:  # noqa: BLE001 (load hooks are the model's own code)
        evidence = f"load_state_dict(strict=True) refuses the model's own state_dict: {first_line(problem)}"
        more = " ".join(str(problem).split("\n")[1:3]).strip()
        if made:
            return None, subject.failed(evidence, f"{_made_where(subject, made)} {more}", MADE_REMEDY)
        return None, subject.failed(evidence, more, "Build every parameter and buffer in __init__, under one name.")
    return built.model, subject.passed("")


MADE_REMEDY = "Make it in __init__, where its sizes are known, or use nn.LazyLinear and its like."


def _made(subject: Subject) -> list[str]:
    """Parameters that the first forward makes: they are in a state_dict that is saved after it, and the model is left
    with them. Buffers that it makes are told, and are as before."""
    model = subject.bench.model
    before = set(model.state_dict())
    subject.forward()
    made = sorted(set(model.state_dict()) - before)
    parameters = {name for name, _ in model.named_parameters(remove_duplicate=False)}
    if made and parameters.isdisjoint(made):
        words = f"A fresh model refuses a state_dict saved after a forward, for that makes {some(made, 4)}."
        subject.found("lazy_buffers", words, "Register it in __init__, or with persistent=False.")
        made = []
    if not made:
        subject.snapshot.restore()
    return made


def _made_where(subject: Subject, made: list[str]) -> str:
    """A sentence: which parameters are made in the first forward, and at which line."""
    model = subject.bench.model
    subject.snapshot.restore()
    place = first_change(lambda: sum(1 for _ in model.parameters()), subject.forward)
    owners = list(dict.fromkeys(name.rpartition(".")[0] or name for name in made))
    at = f" at {place}" if place else ""
    verb = "is" if len(owners) == 1 else "are"
    return f"{some(owners, 4)} {verb} made in the first forward{at}: a model rebuilt from code has not got it."


def _compare_reloaded(subject: Subject, fresh: nn.Module) -> CheckRow:
    bench = subject.bench
    marks: list[str] = []
    worst: list[LeafDiff] = []
    left_out = ""
    for number in subject.times(3):
        args, kwargs = (
            (subject.args, subject.kwargs) if number == 0 else subject.example.sample(bench.recipe.seed + number)
        )
        ours = subject.answer(args, kwargs, seed=number)
        theirs = subject.answer(args, kwargs, seed=number, model=fresh)
        found = subject.compared(ours, theirs)
        left_out = found.left_out
        if not found.leaves and not found.structure:
            return subject.unanswered(left_out)
        marks.append(found.mark)
        whole = LeafDiff("output", found.mark, found.structure)
        worst.append(max(found.leaves, key=lambda leaf: (leaf.mark == BEYOND, leaf.noise_multiple), default=whole))
    tensors = len(bench.model.state_dict())
    start = f"{counted(tensors, 'tensor')} saved, loaded strictly into a fresh model"
    if all(mark == IDENTICAL for mark in marks):
        return subject.passed(f"{start}: identical bits on {counted(len(marks), 'input')}.{left_out}")
    leaf = max(worst, key=lambda one: (one.mark == BEYOND, one.noise_multiple))
    numbers = f"max|Δ| {leaf.max_abs:.3g} at {leaf.path}, {multiple_words(leaf, subject.yardstick)}"
    if BEYOND not in marks and INCOMPARABLE not in marks:
        return subject.passed(f"{start}: within the noise on {counted(len(marks), 'input')} ({numbers}).{left_out}")
    if again := differs_already(subject):
        return subject.skipped(again)
    evidence = f"{start}: the answers differ ({leaf.reason or numbers}).{left_out}"
    outside = _outside_state(bench.model, fresh)
    cause = f"Not in the state_dict, and different in a fresh model: {some(outside, 4)}." if outside else ""
    if apart := _came_apart(bench.model, fresh):
        cause = f"{cause} {apart}".strip()
    return subject.failed(evidence, cause, "Register what the answers depend on as a parameter or persistent buffer.")


def _outside_state(model: nn.Module, fresh: nn.Module) -> list[str]:
    """Tensors and numbers of the modules that a state_dict does not carry and that differ, those in lists too."""
    known = model.state_dict().keys()
    theirs = dict(fresh.named_modules())
    found = []
    for path, module in model.named_modules():
        if path not in theirs:
            continue
        ours, others = _held(module), _held(theirs[path])
        for name, value in ours.items():
            full = f"{path}.{name}" if path else name
            if full not in known and not _same(value, others.get(name)):
                found.append(full)
    return found


def _came_apart(model: nn.Module, fresh: nn.Module) -> str:
    """A sentence on tensors that equal a parameter here, are none themselves, and no longer do in a fresh model."""
    parameters, theirs = dict(model.named_parameters()), dict(fresh.named_parameters())
    others = dict(fresh.named_modules())
    found = []
    for path, module in model.named_modules():
        held = _held(others[path]) if path in others else {}
        for name, value in _held(module).items():
            full = f"{path}.{name}" if path else name
            if not isinstance(value, torch.Tensor) or full in parameters or not value.is_floating_point():
                continue
            tied = next((one for one, tensor in parameters.items() if _same(value, tensor)), "")
            if tied in theirs and name in held and not _same(held[name], theirs[tied]):
                found.append(f"{full} equals {tied} here, and has come apart from it there")
    return f"{some(found, 4)}." if found else ""


def _held(module: nn.Module) -> dict[str, Any]:
    """What one module holds by name: parameters, buffers, attributes, and what lies in its plain containers."""
    held: dict[str, Any] = {}
    for name, value in vars(module).items():
        if name in ("_parameters", "_buffers"):
            held.update(value)
        elif name not in _OWN:
            _lay_out(name, value, held, 0)
    return held


def _lay_out(name: str, value: Any, held: dict[str, Any], depth: int) -> None:
    if isinstance(value, nn.Module):  # in a container: not registered
        held.update({f"{name}.{path}": tensor for path, tensor in value.state_dict().items()})
    elif isinstance(value, (list, tuple, dict)) and depth < DEPTH:
        pairs = value.items() if isinstance(value, dict) else enumerate(value)
        for key, item in itertools.islice(pairs, MOST):
            _lay_out(f"{name}[{key!r}]", item, held, depth + 1)
    else:
        held[name] = value


def _same(value: Any, other: Any) -> bool:
    """Whether a fresh model has the same; what is no tensor, number or word says nothing."""
    if isinstance(value, torch.Tensor):
        return isinstance(other, torch.Tensor) and same_tensor(value, other)
    return not isinstance(value, (int, float, str)) or value == other
