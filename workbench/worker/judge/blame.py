"""Evidence about the first differing module, turned into kind, words, remedy and place.

Pure: it looks at what a search gathered and runs nothing.
"""

from __future__ import annotations

import inspect
import os
from dataclasses import dataclass

import torch
from torch import nn

from workbench.worker.bench.failing import is_users
from workbench.worker.judge.cause import same_inputs
from workbench.worker.judge.replay import BATCH_NORM, DROPOUT, Record, dropout_rate
from workbench.worker.judge.watch import Call, RandomOperator

Blame = tuple[str, str, str, str]
"""Kind, words, remedy, where."""


@dataclass(frozen=True, eq=False)
class Evidence:
    """What is known about the first call whose inputs agree and whose output differs."""

    call: Call
    """In the replay of the run."""
    before: Call
    """In the replay of the reference."""
    numbers: tuple[int, int]
    """Reference and run."""
    records: tuple[Record, Record]
    flags: tuple[bool, bool]
    """The module's own train flag in both."""
    buffers: tuple[str, ...]
    """Names of its buffers that started from other values."""
    operators: tuple[RandomOperator, ...]
    """Random operators called by it and not by a module below."""
    repeats: bool
    """It answers the same twice from one and the same state."""
    between: tuple[str, str]
    """Modules below it around the place where the values part."""


def blame(evidence: Evidence) -> Blame:
    """The kind by the strongest evidence first."""
    module, training = evidence.call.module, any(evidence.flags)
    if dropout_rate(module) > 0 and training:
        return _dropout(evidence)
    if isinstance(module, BATCH_NORM) and (training or evidence.buffers):
        return _batch_norm(evidence)
    if evidence.call.moved or evidence.before.moved:
        return _random(evidence)
    if evidence.flags[0] != evidence.flags[1]:
        return _mode(evidence)
    if evidence.buffers or evidence.call.buffers_moved or evidence.before.buffers_moved:
        return _buffer(evidence)
    return _kernel(evidence)


def _dropout(evidence: Evidence) -> Blame:
    module = evidence.call.module
    option = "p" if isinstance(module, DROPOUT) else "dropout"
    name = f"{_name(evidence)} ({type(module).__name__} {option}={dropout_rate(module):g})"
    if evidence.flags[0] == evidence.flags[1]:
        words = f"{name} is in train mode: it draws a new mask each run."
    else:
        words = f"{name} is in train mode in run {_training_run(evidence)} only, and drops values there."
    return "dropout", words, _eval_remedy(evidence), _where(evidence)


def _batch_norm(evidence: Evidence) -> Blame:
    name = f"{_name(evidence)} ({type(evidence.call.module).__name__})"
    if evidence.flags[0] != evidence.flags[1]:
        run = _training_run(evidence)
        words = f"{name} is in train mode in run {run} only: there it normalises with the batch's own statistics."
    elif any(evidence.flags):
        words = f"{name} is in train mode: it normalises with the batch's own statistics and moves its buffers."
    else:
        words = (
            f"{name} has other running statistics in run {evidence.numbers[1]} ({', '.join(evidence.buffers)}): a run "
            "in train mode in between moved them."
        )
        return "batch statistics", words, "Restore the checkpoint, then stay in eval (e).", _where(evidence)
    return "batch statistics", words, _eval_remedy(evidence), _where(evidence)


def _random(evidence: Evidence) -> Blame:
    operator = evidence.operators[0] if evidence.operators else None
    where = operator.where if operator is not None and operator.where else _where(evidence)
    generator = (evidence.call.moved or evidence.before.moved)[0]
    place = _place(evidence)
    if operator is None:
        what = f"draws from {_GENERATORS.get(generator, generator)}"
        return "random", f"{place} {what}.", _SEED_REMEDY, where
    called = operator.function or operator.name
    words = f"{place} calls {called} at {_short(where)}, which draws from torch's generator each run"
    if "dropout" in operator.function:
        if not any(evidence.flags):
            words += ", in eval as well"
        remedy = (
            f"Pass training=self.training to {called} at {_short(where)}, or use nn.Dropout; then eval (e) stops it."
        )
        return "dropout", f"{words}.", remedy, where
    return "random", f"{words}.", _SEED_REMEDY, where


def _mode(evidence: Evidence) -> Blame:
    words = (
        f"{_name(evidence)} ({type(evidence.call.module).__name__}) is in train mode in run {_training_run(evidence)} "
        "only, and acts differently there."
    )
    return "mode", words, _eval_remedy(evidence), _where(evidence)


def _buffer(evidence: Evidence) -> Blame:
    if evidence.buffers:
        words = (
            f"{_name(evidence)} started run {evidence.numbers[1]} with other values in its "
            f"buffer{'s' * (len(evidence.buffers) > 1)} {', '.join(evidence.buffers)}"
        )
    else:
        words = f"{_name(evidence)} changes its own buffers while it runs"
    remedy = "Restore the checkpoint; if forward is to keep state, reset it before each run."
    return "buffer moved", f"{words}.", remedy, _where(evidence)


def _kernel(evidence: Evidence) -> Blame:
    a, b = evidence.records
    place, where = _place(evidence), _where(evidence)
    if a.modes.grad != b.modes.grad and evidence.repeats:
        words = f"{place} takes another path under {b.modes.grad} than under {a.modes.grad}."
        return "mode", words, "Compare runs of one grad mode (g).", where
    if a.modes.threads != b.modes.threads and evidence.repeats:
        words = f"{place} adds up in another order with another number of threads."
        return "nondeterministic kernel", words, "Pin --threads.", where
    state = _state(evidence)
    if isinstance(getattr(evidence.call.module, state, None), torch.Generator):
        return "random", f"{place} draws from a generator of its own ({state}).", "Seed it in forward.", where
    if state:
        words = f"{place} keeps hidden state: {state} changes from run to run."
        return "unknown", words, "Reset it in forward, or make it a buffer so that it can be seen.", where
    if evidence.repeats:
        words = f"{place} answers differently, though inputs, generators, flags and buffers are the same."
        return "unknown", words, "", where
    words = (
        f"{place} answers differently from the very same state: a kernel that is not deterministic, or hidden state."
    )
    return "nondeterministic kernel", words, "Try --threads 1, or torch.use_deterministic_algorithms(True).", where


def unexplained(a: Record, b: Record, reference: int, run: int, same: bool) -> str:
    """Words for two replays in which no module differs on equal inputs."""
    if same:
        return f"Runs {reference} and {run} gave the same bits; nothing parts."
    if not same_inputs(a, b):
        return f"Runs {reference} and {run} had different inputs; no module differs where its inputs agree."
    model = a.model()
    fast = model is not None and any(isinstance(one, nn.TransformerEncoderLayer) for one in model.modules())
    if fast and a.modes.grad != b.modes.grad:
        return (
            "A replay without the fast path of nn.TransformerEncoderLayer, which watching switches off, does not "
            f"reproduce it: the fast path, taken in eval without grad only, is what differs between {a.modes.grad} "
            f"and {b.modes.grad}."
        )
    return (
        "A replay from the recorded generators, flags and buffers does not reproduce the difference: it comes from "
        "something that is not recorded, such as a kernel that is not deterministic, a generator of the model's own, "
        "hidden state on an attribute, or the clock."
    )


_GENERATORS = {"torch": "torch's generator", "random": "Python's random", "numpy": "numpy.random"}
_SEED_REMEDY = "Draw only while self.training, or fix the generators: --rng fixed."


def _name(evidence: Evidence) -> str:
    return evidence.call.path or "the model"


def _place(evidence: Evidence) -> str:
    """ "drop", "the model between fc1 and fc2": as narrow as the modules below allow."""
    name = _name(evidence)
    if not evidence.call.below:
        return name
    last, following = evidence.between
    if last and following:
        return f"{name}, between {last} and {following},"
    return f"{name}, after {last}," if last else f"{name}, before {following}," if following else name


def _training_run(evidence: Evidence) -> int:
    return evidence.numbers[evidence.flags.index(True)]


def _eval_remedy(evidence: Evidence) -> str:
    path = evidence.call.path
    command = f"--mode {path}=eval" if path else "--mode eval"
    return f"Press t on it, or e for eval; on the command line {command}."


def _state(evidence: Evidence) -> str:
    """Name of an attribute of the module that looks like state; empty when none does."""
    a, b = evidence.before.attributes, evidence.call.attributes
    return next((name for name, value in b.items() if a.get(name) != value), "")


def _where(evidence: Evidence) -> str:
    """The user's forward of the module, or where the user's code calls it when the module is not the user's."""
    forward = inspect.unwrap(type(evidence.call.module).forward)
    code = getattr(forward, "__code__", None)
    if code is not None and is_users(code.co_filename):
        return f"{code.co_filename}:{code.co_firstlineno}"
    return evidence.call.site if evidence.call.above is not None else ""


def _short(where: str) -> str:
    return os.path.basename(where)
