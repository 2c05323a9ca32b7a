"""What a search gathered about two forwards that part, and the sentences that say what was seen.

Pure: nothing is run here. What it comes to is `blame.py`'s.
"""

from __future__ import annotations

import inspect
import os
from dataclasses import dataclass

from workbench.protocol.model import Modes
from workbench.worker.bench.failing import is_users
from workbench.worker.judge.operators import Parting
from workbench.worker.judge.replay import BATCH_NORM, dropout_rate
from workbench.worker.judge.sources import Source
from workbench.worker.judge.unwritten import Site
from workbench.worker.judge.watch import Call

GENERATORS = {"torch": "torch's generator", "random": "Python's random", "numpy": "numpy.random"}
"""What the global generators are called."""


@dataclass(frozen=True, eq=False)
class Evidence:
    """What is known about the first call whose inputs agree and whose output differs."""

    call: Call
    """In the second forward."""
    before: Call
    """In the first, the reference."""
    numbers: tuple[int, int]
    """Reference and run."""
    modes: tuple[Modes, Modes]
    buffers: tuple[str, ...]
    """Names of its buffers that were called with other values."""
    parting: Parting | None
    """The first operator inside it that differs; None: none does, or the replay no longer shows it."""
    repeats: bool
    """It answers the same twice from one and the same state."""
    between: tuple[str, str]
    """Modules below it around the place where the values part."""
    moved: tuple[tuple[str, str], ...] = ()
    """(name, how) of what the first forward left otherwise."""
    max_abs: float | None = None
    proven: tuple[tuple[str, str], ...] = ()
    """Of `moved`, what put back makes the difference vanish: alone, or where there are several all of it together."""
    sources: tuple[Source, ...] = ()
    """Clocks, entropy and Python's generators that it calls; see `sources.py`, with names in the place of owners."""
    alone: bool | None = None
    """It repeats with one thread; None: not asked."""
    left_out: str = ""
    unwritten: Site | None = None
    """Where it asks for memory whose contents, whatever they are, come out of it."""

    @property
    def flags(self) -> tuple[bool, bool]:
        """The module's own train flag in both."""
        return self.before.training, self.call.training

    @property
    def settled(self) -> bool:
        """The modules of torch whose train mode explains it."""
        training = any(self.flags)
        if dropout_rate(self.call.module) > 0 and training:
            return True
        return isinstance(self.call.module, BATCH_NORM) and (training or bool(self.buffers))

    def suspicion(self, moved: tuple[str, str]) -> tuple[bool, bool, int]:
        """The likelier it makes the difference, the smaller: operands that differ, then what the module holds."""
        path = self.call.path
        operands = self.parting.foreign() if self.parting is not None else ()
        return moved[0] not in operands, not moved[0].startswith(f"{path}." if path else ""), moved[0].count(".")


def sentences(evidence: Evidence) -> tuple[str, ...]:
    """What was seen, one sentence each, the module first."""
    call, (one, two) = evidence.call, evidence.numbers
    much = "" if evidence.max_abs is None else f", max|Δ| {evidence.max_abs:.3g}"
    said = [
        f"{name_of(evidence)}, call {call.number + 1}: the same inputs in runs {one} and {two}, another output{much}"
    ]
    said += _of_operator(evidence)
    moved = dict.fromkeys((*evidence.before.moved, *call.moved))
    if moved:
        said.append(f"generators that it moves: {', '.join(GENERATORS.get(name, name) for name in moved)}")
    if evidence.unwritten is not None:
        said.append(f"with what {evidence.unwritten.words} gives filled otherwise, it answers otherwise")
        return tuple(said)
    said.append(f"from one and the same state it answers {'the same' if evidence.repeats else 'differently'} each time")
    if evidence.alone is not None:
        said.append(f"with one thread it {'repeats' if evidence.alone else 'does not repeat either'}")
    if evidence.proven:
        names = " and ".join(name for name, _ in evidence.proven[:4])
        said.append(f"with {names} put back{' alone' * (len(evidence.proven) == 1)}, run {two} answers as run {one}")
    elif evidence.moved:
        said.append(f"a run leaves these otherwise: {', '.join(f'{name} ({how})' for name, how in evidence.moved[:4])}")
    said += [f"it calls {one.name} at {short(one.where)}" for one in evidence.sources[:3]]
    return tuple(said + [evidence.left_out] * bool(evidence.left_out))


def _of_operator(evidence: Evidence) -> list[str]:
    parting = evidence.parting
    if parting is None:
        return ["no operator of torch's shows it: the value comes from elsewhere"]
    (one, two), step = evidence.numbers, parting.step
    at = f" at {short(step.where)}" if step.where else ""
    if parting.way:
        sides = [(parting.a, one), (parting.b, two)]
        ways = [f"{side.called} at {short(side.where)} in run {run}" if side else f"nothing more in run {run}"
                for side, run in sides]  # fmt: skip
        return [f"operator {parting.index + 1}: they take different ways: {', '.join(ways)}"]
    said = f"operator {parting.index + 1}, {step.called}{at}, is the first with another result"
    if parting.a is not None and parting.a.given != step.given:
        return [f"{said}: given {parting.a.given} in run {one} and {step.given} in run {two}"]
    names = [name or "a tensor that it did not make" for name in parting.foreign()]
    if names:
        return [f"{said}: it is given other values in {', '.join(names)}"]
    drawn = f" and draws from {step.generator or 'a generator'}" if step.random else ""
    return [f"{said}, though it is given the same{drawn}"]


def where_of(evidence: Evidence) -> str:
    """The user's line of the operator; else their forward of the module, or where their code calls it."""
    call, parting = evidence.call, evidence.parting
    forward = inspect.unwrap(type(call.module).forward)
    code = getattr(forward, "__code__", None)
    users = code is not None and is_users(code.co_filename)
    if evidence.unwritten is not None and evidence.unwritten.where:
        return evidence.unwritten.where
    if users and parting is not None and parting.step.where:
        return parting.step.where
    if code is not None and users:
        return f"{code.co_filename}:{code.co_firstlineno}"
    return call.site if call.above is not None else ""


def short(where: str) -> str:
    """ "model.py:12" of a path and a line."""
    return os.path.basename(where)


def name_of(evidence: Evidence) -> str:
    """The module's path, or "the model"."""
    return evidence.call.path or "the model"
