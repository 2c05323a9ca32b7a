"""Owns the checks on what a forward uses and leaves behind: randomness, buffers."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Any

import torch

from workbench.protocol.artifacts import CheckRow
from workbench.worker.bench.modes import seed_generators, stir_generators
from workbench.worker.bench.words import counted, some
from workbench.worker.judge.checks_modes import cured
from workbench.worker.judge.checks_places import FirstOperator, named
from workbench.worker.judge.checks_run import Subject
from workbench.worker.judge.digest import digest
from workbench.worker.judge.drawing import first_draw, first_seeded, reseeded
from workbench.worker.judge.held import Snapshot
from workbench.worker.judge.leaves import Flat
from workbench.worker.judge.lines import first_change
from workbench.worker.judge.replay import Generators, Parts

LOOKED_AT = 1 << 16
"""Elements of a buffer up to which its values are read after every line; of a larger one its version is."""


def check_randomness(subject: Subject) -> CheckRow:
    """The forward draws from no global generator: torch's, Python's, or numpy's where it is there; and seeds none."""
    moved: dict[str, None] = {}
    later: dict[str, None] = {}
    runs = 0
    for _ in subject.times(3):
        if subject.bench.modes.rng == "fixed":
            seed_generators(subject.bench.modes.seed)  # as the forward will, so that seeding is no use of a generator
        else:
            stir_generators()  # else a forward that sets the seed that was set already would move nothing
        before = Generators.take()
        subject.forward()
        found = dict.fromkeys(before.moved(Generators.take()))
        moved.update(found)
        later.update(found if runs else {})
        runs += 1
    if not moved:
        return subject.passed(f"No global generator moved in {counted(runs, 'forward')} (torch, random, numpy).")
    if row := _seeds(subject, moved):
        return row
    evidence = f"The forward draws from {_generators(moved)}."
    if subject.policy.stochastic:
        subject.excuse("stochastic, so drawing is meant")
        return subject.passed(evidence)
    if runs > 1 and not later:
        return _draws_once(subject, moved)
    return _draws(subject, moved, evidence)


def _generators(names: Iterable[str]) -> str:
    return " and ".join(_NAMES.get(name, name) for name in names)


_NAMES = {"torch": "torch's generator", "random": "Python's random", "numpy": "numpy.random"}


def _seeds(subject: Subject, moved: Iterable[str]) -> CheckRow | None:
    """The row of a forward that sets the seed of a global generator; None for one that does not, or where there is no
    time to ask."""
    modes = dataclasses.replace(subject.bench.modes, rng="free")
    if not subject.room_for(4):
        return None
    names = reseeded(moved, lambda: subject.forward(modes=modes))
    if not names:
        return None
    places = [first_seeded(name, lambda: subject.forward(modes=modes)) for name in names]
    evidence = f"The forward seeds {_generators(names)}: all that draws after it draws the same, in training too."
    at = [f"{_NAMES.get(name, name)} at {place}" for name, place in zip(names, places) if place]  # noqa: B905
    remedy = "Take a torch.Generator (or random.Random, numpy.random.default_rng) of your own, and seed that."
    return subject.failed(evidence, f"Seeded: {'; '.join(at)}." if at else "", remedy)


def _draws_once(subject: Subject, moved: dict[str, None]) -> CheckRow:
    """The row of a model whose first forward alone draws: something is made there."""
    evidence = f"The first forward draws from {_generators(moved)}, and no later one does."
    watch = FirstOperator(lambda func, *_: torch.Tag.nondeterministic_seeded in func.tags)
    subject.snapshot.restore()
    with watch:
        subject.forward()
    drawn = [watch.words] if watch.words and "torch" in moved else []
    drawn += [f"{_NAMES[name]} at {place}" for name, place in _lines(subject, moved)]
    left = some([name for name, _ in subject.snapshot.moved() if not subject.policy.may_move(name)], 4)
    made = f" What it makes: {left}." if left else ""
    cause = f"First draw in {'; in '.join(drawn)}.{made}" if drawn else made.strip()
    remedy = "Make it in __init__: what is made in the first forward has other numbers in every process, unless loaded."
    return subject.failed(evidence, cause, remedy)


def _lines(subject: Subject, moved: Iterable[str]) -> list[tuple[str, str]]:
    """(generator, file.py:line) of what is drawn from Python's and numpy's."""
    found = []
    for name in ("random", "numpy"):
        if name in moved:
            subject.snapshot.restore()
            if place := first_draw(name, subject.forward):
                found.append((name, place))
    return found


def _draws(subject: Subject, moved: dict[str, None], evidence: str) -> CheckRow:
    """The row of a model that draws with every forward."""
    active = [path for path, kind in Parts(subject.bench.model).active() if kind == "dropout"]
    watch = FirstOperator(lambda func, *_: torch.Tag.nondeterministic_seeded in func.tags)
    with watch:
        subject.forward()
    if active and "torch" in moved:
        paths = dict(subject.bench.model.named_modules())
        cause = f"In train mode: {some([named(path, paths[path]) for path in active], 4)}; first draw in {watch.words}."
        more, remedy = cured(subject, active[0])
        return subject.failed(evidence, f"{cause}{more}", remedy)
    drawn = [watch.words] if watch.words and "torch" in moved else []
    drawn += [f"{_NAMES[name]} at {place}" for name, place in _lines(subject, moved)]
    cause = f"First draw in {'; in '.join(drawn)}." if drawn else ""
    remedy = "Draw nothing in eval: F.dropout(x, p, training=self.training), and no torch.rand in forward."
    if "torch" not in moved:
        remedy = "Draw nothing in eval: only while self.training, or take the number as an input."
    return subject.failed(evidence, cause, remedy)


def check_buffers(subject: Subject) -> CheckRow:
    """No forward changes a buffer, in place or by putting another in its place."""
    count = sum(1 for _ in subject.bench.model.buffers())
    runs, warm = 0, None
    for _ in subject.times(3, least=2):
        subject.forward(keep_state=True)
        warm = warm or Snapshot(subject.bench.model, (), {})
        runs += 1
    moved = subject.snapshot.changed_buffers()
    changed = [(path, how) for path, how in moved if not subject.policy.may_move(path)]
    if changed and all(how != "values" for _, how in changed) and warm is not None and not warm.changed_buffers():
        words = f"Made by the first forward and left alone after it: {some([path for path, _ in changed], 4)}."
        subject.found("lazy_buffers", words)
        changed = []
    if excused := [path for path, _ in moved if subject.policy.may_move(path)]:
        subject.excuse(f"mutates {some(excused, 4)}")
    if not changed and not count and not moved:
        return subject.passed("The model has no buffers.")
    if not changed:
        left = max(0, count - len(moved))
        held = f"{counted(left, 'buffer')} unchanged" if left or not moved else "No other buffer changed"
        return subject.passed(f"{held} after {counted(runs, 'forward')}.")
    listed = some([path if how == "values" else f"{path} ({how})" for path, how in changed], 4)
    evidence = f"{len(changed)} of {counted(count, 'buffer')} changed in {counted(runs, 'forward')}: {listed}."
    statistics = [path for path, kind in Parts(subject.bench.model).active() if kind == "batch statistics"]
    owners = {path.rpartition(".")[0] for path, _ in changed}
    guilty = [path for path in statistics if path in owners]
    if guilty:
        cause = f"{some(guilty, 4)} in train mode: each forward updates the running statistics."
        more, remedy = cured(subject, guilty[0])
        return subject.failed(evidence, f"{cause}{more}", remedy)
    modules = dict(subject.bench.model.named_modules())
    cause = "Written by the forward of " + some([named(path, modules[path]) for path in sorted(owners)], 4)
    places = {path: place for path, _ in changed[:4] if (place := _written_at(subject, path))}
    if places:
        cause += ": " + "; ".join(f"{path} at {place}" for path, place in places.items())
    return subject.failed(
        evidence, f"{cause}.", "Update buffers only when self.training, or keep such state out of the model."
    )


def _written_at(subject: Subject, path: str) -> str:
    """file.py:line of the user's that changes this buffer first, in a forward from where the check began; empty where
    none is seen."""
    owner, _, name = path.rpartition(".")
    buffers = subject.bench.model.get_submodule(owner)._buffers

    def state() -> Any:
        tensor = buffers.get(name)
        if tensor is None:
            return None
        if tensor.numel() > LOOKED_AT or tensor.layout is not torch.strided:
            return id(tensor), -1 if tensor.is_inference() else tensor._version
        return id(tensor), digest(Flat("", [("", tensor)]))

    if not subject.room_for(2):
        return ""
    subject.snapshot.restore()
    return first_change(state, lambda: subject.forward(keep_state=True))
