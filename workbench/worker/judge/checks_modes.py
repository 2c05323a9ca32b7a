"""Owns the check that every module is in eval mode and stays there, and what else cannot be cured by eval()."""

from __future__ import annotations

from torch import nn

from workbench.protocol.artifacts import CheckRow
from workbench.worker.bench.failing import first_line
from workbench.worker.bench.modes import set_flags, train_of
from workbench.worker.bench.words import counted, some
from workbench.worker.job import Cancelled
from workbench.worker.judge.checks_places import named
from workbench.worker.judge.checks_run import Subject
from workbench.worker.judge.replay import DROPOUT, Parts
from workbench.worker.judge.setting import may_set, taken_out, trained_by_itself

EVAL = "Put it in eval: e in the app, or --mode eval; one module alone: --mode {path}=eval."


def check_modes(subject: Subject) -> CheckRow:
    """No module is in train mode, and no forward puts one there. Functional dropout is not seen here; randomness
    sees it."""
    modules = list(subject.bench.model.named_modules())
    training = [(path, module) for path, module in modules if module.training]
    active = dict(Parts(subject.bench.model).active())
    by_forward, unseen = _by_forward(subject)
    if subject.policy.stochastic and any(isinstance(module, DROPOUT) for _, module in (*training, *by_forward)):
        subject.excuse("stochastic, so dropout may be in train mode")
        training = [(path, module) for path, module in training if not isinstance(module, DROPOUT)]
        by_forward = {one: place for one, place in by_forward.items() if not isinstance(one[1], DROPOUT)}
    if by_forward:
        return _undone(subject, by_forward)
    if not training:
        others = "All others of " if subject.excused else "All "
        return subject.passed(f"{others}{counted(len(modules), 'module')} are in eval mode.{unseen}")
    acting = [f"{named(path, module)}: {active[path]}" for path, module in training if path in active]
    evidence = f"{len(training)} of {counted(len(modules), 'module')} are in train mode: " + some(
        [named(path, module) for path, module in training], 4
    )
    cause = f"These answer differently in train mode: {some(acting, 4)}." if acting else ""
    first = next((path for path, _ in training if path in active), training[0][0])
    path, place = _deaf(subject, [path for path, _ in training])
    if place:
        words = f"{path or 'The model itself'} has a train() of its own at {place}, which ignores eval()."
        return subject.failed(f"{evidence}.", f"{cause} {words}".strip(), f"Mend train() at {place}.")
    return subject.failed(f"{evidence}.", cause, EVAL.format(path=first or "NAME"))


def cured(subject: Subject, path: str) -> tuple[str, str]:
    """(a sentence for the cause, or empty; remedy) of a module that is in train mode: eval cures it, unless the
    forward itself puts it there."""
    found, _ = _by_forward(subject)
    place = next((place for (name, _), place in found.items() if name == path), None)
    if place is None:
        return "", EVAL.format(path=path or "NAME")
    return f" The forward itself puts it there{place and f' at {place}'}: eval() cannot help.", taken_out(place)


def _by_forward(subject: Subject) -> tuple[dict[tuple[str, nn.Module], str], str]:
    """({(path, module): file.py:line} that one forward puts in train mode by itself, a sentence where it raised).

    Asked with every module in eval, so that a forward which sets what the model is in anyway is not accused. The
    model is as before the check afterwards.
    """
    model = subject.bench.model
    unseen = ""
    if not may_set(model):
        return {}, unseen
    set_flags(model, False, ())
    try:
        with trained_by_itself(model) as found:
            subject.forward()
    except (Cancelled, KeyboardInterrupt):
        raise
    except Exception as problem:  # noqa: BLE001 (that it raises is the matter of every other check)
        unseen = f" The forward raised ({first_line(problem)}): whether it sets modes itself was not seen."
    finally:
        subject.snapshot.restore()
    modules = dict(model.named_modules())
    return {(path, modules[path]): place for path, place in found.items()}, unseen


def _undone(subject: Subject, by_forward: dict[tuple[str, nn.Module], str]) -> CheckRow:
    """The row of a model whose forward calls train()."""
    with_flags = [named(path, module) for path, module in by_forward]
    path, module = next(iter(by_forward))
    place = by_forward[path, module]
    evidence = f"The forward itself puts {some(with_flags, 4)} in train mode, though the whole model was in eval."
    where = f"at {place}" if place else "where no line of the model's own is seen"
    cause = f"It asks for train mode {where}: eval() cannot help, for the next forward undoes it."
    return subject.failed(evidence, cause, taken_out(place))


def _deaf(subject: Subject, training: list[str]) -> tuple[str, str]:
    """(path, file.py:line) of the first train() of the user's own that leaves one of these in train mode whatever is
    asked; empty places where eval() reaches them all."""
    model = subject.bench.model
    if not any(train_of(model, path)[1] for path in training):
        return "", ""
    try:
        model.train(False)
        left = [path for path, module in model.named_modules() if module.training and path in training]
    finally:
        subject.snapshot.restore()
    return next((found for found in (train_of(model, path) for path in left) if found[1]), ("", ""))
