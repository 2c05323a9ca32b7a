"""Owns the checks on what a forward uses and leaves behind: modes, randomness, buffers, reload."""

from __future__ import annotations

import dataclasses
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
from workbench.worker.bench.modes import apply, read_modes, seed_generators
from workbench.worker.bench.words import counted, some
from workbench.worker.judge.checks_run import FirstOperator, Subject, compared, named
from workbench.worker.judge.replay import Generators, Parts

EVAL = "Put it in eval: e in the app, or --mode eval; one module alone: --mode {path}=eval."


def check_modes(subject: Subject) -> CheckRow:
    """No module is in train mode. Functional dropout is not seen here; randomness sees it."""
    modules = list(subject.bench.model.named_modules())
    training = [(path, module) for path, module in modules if module.training]
    if not training:
        return subject.passed(f"All {counted(len(modules), 'module')} are in eval mode.")
    active = dict(Parts(subject.bench.model).active())
    acting = [f"{named(path, module)}: {active[path]}" for path, module in training if path in active]
    evidence = f"{len(training)} of {counted(len(modules), 'module')} are in train mode: " + some(
        [named(path, module) for path, module in training], 4
    )
    cause = f"These answer differently in train mode: {some(acting, 4)}." if acting else ""
    first = next((path for path, _ in training if path in active), training[0][0])
    return subject.failed(f"{evidence}.", cause, EVAL.format(path=first or "NAME"))


def check_randomness(subject: Subject) -> CheckRow:
    """The forward draws from no global generator: torch's, Python's, or numpy's where it is imported."""
    moved: dict[str, None] = {}
    runs = 0
    for _ in subject.times(3):
        if subject.bench.modes.rng == "fixed":
            seed_generators(subject.bench.modes.seed)  # as the forward will, so that seeding is no use of a generator
        before = Generators.take()
        subject.forward()
        moved.update(dict.fromkeys(before.moved(Generators.take())))
        runs += 1
    if not moved:
        return subject.passed(f"No global generator moved in {counted(runs, 'forward')} (torch, random, numpy).")
    names = {"torch": "torch's generator", "random": "Python's random", "numpy": "numpy.random"}
    evidence = f"The forward draws from {' and '.join(names.get(name, name) for name in moved)}."
    active = [path for path, kind in Parts(subject.bench.model).active() if kind == "dropout"]
    watch = FirstOperator(lambda func, *_: torch.Tag.nondeterministic_seeded in func.tags)
    with watch:
        subject.forward()
    if active and "torch" in moved:
        paths = dict(subject.bench.model.named_modules())
        cause = f"In train mode: {some([named(path, paths[path]) for path in active], 4)}; first draw in {watch.words}."
        return subject.failed(evidence, cause, EVAL.format(path=active[0] or "NAME"))
    remedy = "Draw nothing in eval: F.dropout(x, p, training=self.training), and no torch.rand in forward."
    return subject.failed(evidence, f"First draw in {watch.words}." if watch.words else "", remedy)


def check_buffers(subject: Subject) -> CheckRow:
    """No forward changes a buffer, in place or by putting another in its place."""
    count = sum(1 for _ in subject.bench.model.buffers())
    runs = 0
    for _ in subject.times(3):
        subject.forward()
        runs += 1
    changed = subject.snapshot.changed_buffers()
    if not changed and not count:
        return subject.passed("The model has no buffers.")
    if not changed:
        return subject.passed(f"{counted(count, 'buffer')} unchanged after {counted(runs, 'forward')}.")
    listed = some([path if how == "values" else f"{path} ({how})" for path, how in changed], 4)
    evidence = f"{len(changed)} of {counted(count, 'buffer')} changed in {counted(runs, 'forward')}: {listed}."
    statistics = [path for path, kind in Parts(subject.bench.model).active() if kind == "batch statistics"]
    owners = {path.rpartition(".")[0] for path, _ in changed}
    guilty = [path for path in statistics if path in owners]
    if guilty:
        cause = f"{some(guilty, 4)} in train mode: each forward updates the running statistics."
        return subject.failed(evidence, cause, EVAL.format(path=guilty[0] or "NAME"))
    modules = dict(subject.bench.model.named_modules())
    cause = "Written by the forward of " + some([named(path, modules[path]) for path in sorted(owners)], 4) + "."
    return subject.failed(
        evidence, cause, "Update buffers only when self.training, or keep such state out of the model."
    )


def check_reload(subject: Subject) -> CheckRow:
    """The state_dict, saved to a file and loaded strictly into a fresh model of the recipe, gives the same answers."""
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
    recipe = dataclasses.replace(bench.recipe, weights="", seed=bench.recipe.seed + 1)
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
        return None, subject.failed(evidence, more, "Build every parameter and buffer in __init__, under one name.")
    return built.model, subject.passed("")


def _compare_reloaded(subject: Subject, fresh: nn.Module) -> CheckRow:
    bench = subject.bench
    marks: list[str] = []
    worst: list[LeafDiff] = []
    left_out = ""
    for number in subject.times(3):
        args, kwargs = (bench.args, bench.kwargs) if number == 0 else bench.example.sample(bench.recipe.seed + number)
        ours = subject.answer(args, kwargs, seed=number)
        theirs = subject.answer(args, kwargs, seed=number, model=fresh)
        found = compared(ours, theirs, subject.yardstick)
        left_out = found.left_out
        if not found.leaves and not found.structure:
            return subject.skipped(f"The model answers with no tensor that can be compared.{left_out}")
        marks.append(found.mark)
        whole = LeafDiff("output", found.mark, found.structure)
        worst.append(max(found.leaves, key=lambda leaf: (leaf.mark == BEYOND, leaf.noise_multiple), default=whole))
    tensors = len(bench.model.state_dict())
    start = f"{counted(tensors, 'tensor')} saved, loaded strictly into a fresh model"
    if all(mark == IDENTICAL for mark in marks):
        return subject.passed(f"{start}: identical bits on {counted(len(marks), 'input')}.{left_out}")
    leaf = max(worst, key=lambda one: (one.mark == BEYOND, one.noise_multiple))
    numbers = f"max|Δ| {leaf.max_abs:.3g} at {leaf.path}, {leaf.noise_multiple:.3g}× the noise"
    if BEYOND not in marks and INCOMPARABLE not in marks:
        return subject.passed(f"{start}: within the noise on {counted(len(marks), 'input')} ({numbers}).{left_out}")
    evidence = f"{start}: the answers differ ({leaf.reason or numbers}).{left_out}"
    outside = _outside_state(bench.model, fresh)
    cause = f"Not in the state_dict, and different in a fresh model: {some(outside, 4)}." if outside else ""
    return subject.failed(evidence, cause, "Register what the answers depend on as a parameter or persistent buffer.")


def _outside_state(model: nn.Module, fresh: nn.Module) -> list[str]:
    """Tensors and numbers of the modules that a state_dict does not carry and that differ."""
    known = model.state_dict().keys()
    theirs = dict(fresh.named_modules())
    found = []
    for path, module in model.named_modules():
        other = theirs.get(path)
        if other is None:
            continue
        held: dict[str, Any] = {**vars(module), **dict(module.named_buffers(recurse=False))}
        for name, value in held.items():
            full = f"{path}.{name}" if path else name
            twin = getattr(other, name, None)
            if full in known or (name.startswith("_") and isinstance(value, dict)):
                continue
            if isinstance(value, torch.Tensor):
                same = isinstance(twin, torch.Tensor) and value.shape == twin.shape and torch.equal(value, twin)
            else:
                same = not isinstance(value, (int, float, str)) or value == twin
            if not same:
                found.append(full)
    return found
