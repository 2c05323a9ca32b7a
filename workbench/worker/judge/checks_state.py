"""Owns the checks on what a forward uses and leaves behind: modes, randomness, buffers."""

from __future__ import annotations

import torch

from workbench.protocol.artifacts import CheckRow
from workbench.worker.bench.modes import own_train, seed_generators
from workbench.worker.bench.words import counted, some
from workbench.worker.judge.checks_places import FirstOperator, named
from workbench.worker.judge.checks_run import Subject
from workbench.worker.judge.drawing import first_draw
from workbench.worker.judge.held import Snapshot
from workbench.worker.judge.replay import DROPOUT, Generators, Parts

EVAL = "Put it in eval: e in the app, or --mode eval; one module alone: --mode {path}=eval."


def check_modes(subject: Subject) -> CheckRow:
    """No module is in train mode. Functional dropout is not seen here; randomness sees it."""
    modules = list(subject.bench.model.named_modules())
    training = [(path, module) for path, module in modules if module.training]
    if subject.policy.stochastic and any(isinstance(module, DROPOUT) for _, module in training):
        subject.excuse("stochastic, so dropout may be in train mode")
        training = [(path, module) for path, module in training if not isinstance(module, DROPOUT)]
    if not training:
        others = "All others of " if subject.excused else "All "
        return subject.passed(f"{others}{counted(len(modules), 'module')} are in eval mode.")
    active = dict(Parts(subject.bench.model).active())
    acting = [f"{named(path, module)}: {active[path]}" for path, module in training if path in active]
    evidence = f"{len(training)} of {counted(len(modules), 'module')} are in train mode: " + some(
        [named(path, module) for path, module in training], 4
    )
    cause = f"These answer differently in train mode: {some(acting, 4)}." if acting else ""
    first = next((path for path, _ in training if path in active), training[0][0])
    path, place = next(((path, own_train(module)) for path, module in training if own_train(module)), ("", ""))
    if place:
        words = f"{path or 'The model itself'} has a train() of its own at {place}, which ignores eval()."
        return subject.failed(f"{evidence}.", f"{cause} {words}".strip(), f"Mend train() at {place}.")
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
    if subject.policy.stochastic:
        subject.excuse("stochastic, so drawing is meant")
        return subject.passed(evidence)
    active = [path for path, kind in Parts(subject.bench.model).active() if kind == "dropout"]
    watch = FirstOperator(lambda func, *_: torch.Tag.nondeterministic_seeded in func.tags)
    with watch:
        subject.forward()
    if active and "torch" in moved:
        paths = dict(subject.bench.model.named_modules())
        cause = f"In train mode: {some([named(path, paths[path]) for path in active], 4)}; first draw in {watch.words}."
        return subject.failed(evidence, cause, EVAL.format(path=active[0] or "NAME"))
    drawn = [watch.words] if watch.words and "torch" in moved else []
    for name in ("random", "numpy"):
        if name in moved and (place := first_draw(name, subject.forward)):
            drawn.append(f"{names[name]} at {place}")
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
        return subject.failed(evidence, cause, EVAL.format(path=guilty[0] or "NAME"))
    modules = dict(subject.bench.model.named_modules())
    cause = "Written by the forward of " + some([named(path, modules[path]) for path in sorted(owners)], 4) + "."
    return subject.failed(
        evidence, cause, "Update buffers only when self.training, or keep such state out of the model."
    )
