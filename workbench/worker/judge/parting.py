"""Where two models that were compared part: both built again, and one case run through them module by module.

Owns whether that is done at all (memory, time, what the two have in common) and which modules are in the table; the
numbers are `errors.py`'s. Each side runs with its own imports in place, so that two files of one name never meet.
"""

from __future__ import annotations

import gc
import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn

from workbench.protocol.cause import CallError, ErrorTable
from workbench.protocol.compare import Compare
from workbench.protocol.failures import WorkbenchError
from workbench.worker.bench.failing import first_line
from workbench.worker.bench.inputs import Example
from workbench.worker.bench.load import IMPORTS
from workbench.worker.bench.modes import generators_kept
from workbench.worker.bench.words import some
from workbench.worker.job import Cancelled, Job, OutOfTime
from workbench.worker.judge import memory
from workbench.worker.judge.error_words import told
from workbench.worker.judge.errors import table
from workbench.worker.judge.evidence import short
from workbench.worker.judge.held import Snapshot
from workbench.worker.judge.leak import size
from workbench.worker.judge.live import kept_as_it_is
from workbench.worker.judge.operators import Names, Operators, first_parting
from workbench.worker.judge.recording import Recorder
from workbench.worker.judge.replay import Parts, Record
from workbench.worker.judge.sides import Side
from workbench.worker.judge.standing import Call, Portrait, Standing, fingerprints, stand
from workbench.worker.judge.watch import Watcher

SHARE = 4
"""Parameters and buffers of both may take one part in so many of the available memory: snapshots and activations
take as much again."""

BUDGET = 60.0
"""Seconds that it may take at most."""

FORWARDS = 7
"""Forwards of each side that it takes at least, for a model of some depth: the table's, and one for the operator."""

NAMED = 4
"""Modules that are named in a note."""


@dataclass(frozen=True)
class WorstCase:
    """The case on which it is looked for."""

    inputs: Call
    """As A is given them."""
    seed: int
    where: str
    example: Example
    """A's, from which `inputs` were drawn."""


@dataclass(frozen=True)
class Parting:
    """The table, or why there is none; neither where nothing was asked."""

    table: ErrorTable | None = None
    left_out: str = ""


def part(request: Compare, portraits: Sequence[Portrait], case: WorstCase, one_model: bool, job: Job) -> Parting:
    """The error of every module call of B against A's on `case`; both must have been let go of.

    `one_model`: B is A's very model, which is then built once. Whatever fails in it is a reason to leave it out, for
    the verdict stands without it. Raises `Cancelled`.
    """
    seconds = min(BUDGET, max(0.0, (request.timeout - job.seconds) / 2)) if request.timeout else BUDGET
    reason = _no_room(portraits, one_model) or _no_time(portraits, seconds)
    if reason:
        return Parting(left_out=reason)
    gc.collect()
    try:
        with job.within(seconds):
            return _parted(request, portraits, case, one_model, job)
    except (Cancelled, KeyboardInterrupt):
        raise
    except OutOfTime:
        return Parting(left_out=f"it was not done within {seconds:.0f} s")
    except WorkbenchError as problem:
        return Parting(left_out=problem.failure.message)
    except Exception as problem:  # noqa: BLE001 (the model's own code, under hooks)
        return Parting(left_out=f"a forward raised: {first_line(problem)}")


def _no_room(portraits: Sequence[Portrait], one_model: bool) -> str:
    """Why both may not fit into memory together; empty when they do with ease."""
    need = max(one.bytes for one in portraits) if one_model else sum(one.bytes for one in portraits)
    rooms = [memory.available()[0]]
    rooms += [torch.cuda.mem_get_info(one.modes.device)[0] for one in portraits if one.modes.device.startswith("cuda")]
    if min(rooms) <= 0:
        return "it is not known here how much memory is left"
    if need > min(rooms) // SHARE:
        held = f"both models at once take {size(need)}"
        return f"{held}, more than a quarter of the {size(min(rooms))} of memory that are left"
    return ""


def _no_time(portraits: Sequence[Portrait], seconds: float) -> str:
    need = sum(one.seconds_to_build + FORWARDS * one.seconds for one in portraits)
    return f"it would take about {math.ceil(need)} s, and {seconds:.0f} s are left for it" if need > seconds else ""


def _parted(request: Compare, portraits: Sequence[Portrait], case: WorstCase, one_model: bool, job: Job) -> Parting:
    a = stand("A", request.a, job, case.example)
    first = _record(a, case.inputs, case.seed)
    if one_model:
        b = Standing("B", request.b, a.built, case.example.copy(), job)
    else:
        b = stand("B", request.b, job, case.example)
    second = _record(b, b.given(case.inputs, case.seed), case.seed)
    for side, portrait in ((a, portraits[0]), (b, portraits[1])):
        if portrait.tensors and fingerprints(side.model, job) != portrait.tensors:
            words = f"side {side.letter}, built again, has other values: its constructor or its file gives others now"
            return Parting(left_out=words)
    shared = _Shared.of(a.model, b.model)
    if not shared.paths:
        return Parting(left_out="A and B have no module path in common, so it cannot be told in which module they part")
    with kept_as_it_is(a.model) as one, kept_as_it_is(b.model) as other:
        sides = _OwnImports(a, first, one), _OwnImports(b, second, other)
        calls, total = table(*sides, job)
        kept = tuple(call for call in calls if call.path in shared.paths)
        starts, grows, words = told(kept)
        if starts >= 0:
            words += _operator_words(sides, (kept[starts].path, kept[starts].call), job)
    left = len(calls) - len(kept)
    notes = (f"on {case.where}, the case furthest from A", *shared.notes(kept), _cast_note(a, b))
    return Parting(ErrorTable(0, 0, kept, starts, grows, total - left, words, tuple(filter(None, notes))))


def _operator_words(sides: tuple[Side, Side], key: tuple[str, int], job: Job) -> str:
    """A sentence on the first operator inside one call whose result differs; empty where none does."""
    lists = []
    for side in sides:
        job.progress("looking for the operator")
        side.prepare()
        watcher = Watcher(side.parts.modules, job)
        names = Names(side.parts.modules, lambda generator: "")
        with watcher.on(), Operators(watcher, key, names) as operators:
            side.forward()
        lists.append(operators.steps)
    found = first_parting(*lists)
    if found is None:
        return ""
    at = f" at {short(found.step.where)}" if found.step.where else ""
    return f" The first operator in it with another result: {found.step.called}{at}."


def _record(side: Standing, inputs: Call, seed: int) -> Record:
    """Where a forward of `side` on `inputs` starts: the generators as `Standing.answer` starts them."""
    with generators_kept(side.modes.seed if side.modes.rng == "fixed" else seed):
        return Recorder().take(Parts(side.model), side.modes, *inputs)


class _OwnImports(Side):
    """A side whose forward finds the modules of its own directory, whichever side was built last."""

    def __init__(self, side: Standing, record: Record, snapshot: Snapshot) -> None:
        super().__init__(side.letter, side.model, record, snapshot)
        self._resolved = side.built.resolved

    def prepare(self) -> None:
        IMPORTS.go_back(self._resolved)
        super().prepare()


@dataclass(frozen=True)
class _Shared:
    """What the modules of two models have in common, by path."""

    a: dict[str, str]
    """Path → class of A's modules."""
    b: dict[str, str]
    paths: frozenset[str]
    """Of the modules that both have, the root among them; empty when that is all they share."""

    @classmethod
    def of(cls, a: nn.Module, b: nn.Module) -> _Shared:
        one, other = ({path: type(module).__name__ for path, module in Parts(model).modules} for model in (a, b))
        both = one.keys() & other.keys()
        alone = len(both) == 1 and max(len(one), len(other)) > 1
        return cls(one, other, frozenset() if alone else frozenset(both))

    def notes(self, calls: Sequence[CallError]) -> list[str]:
        """Which modules were left aside, and which have another class in B; the root is not looked at."""
        notes = []
        alone = [(letter, [path for path in mine if path not in self.paths]) for letter, mine in self._sides()]
        if any(paths for _, paths in alone):
            both = [path for path in self.a if path in self.paths and path]
            told_alone = "; ".join(f"in {letter} only: {some(paths, NAMED)}" for letter, paths in alone if paths)
            notes.append(f"over the {len(both)} modules that both have: {some(both, NAMED)}; {told_alone}")
            notes.append("what a module does that only one of them has counts as the work of the module around it")
        called = dict.fromkeys(call.path for call in calls if call.path)
        other = [f"{path} ({self.a[path]}, {self.b[path]})" for path in called if self.a[path] != self.b[path]]
        if other:
            notes.append(f"of other classes in A and B: {some(other, NAMED)}")
        return notes

    def _sides(self) -> tuple[tuple[str, dict[str, str]], ...]:
        return ("A", self.a), ("B", self.b)


def _cast_note(a: Standing, b: Standing) -> str:
    one, other = Parts(a.model).dtype(), Parts(b.model).dtype()
    return f"own: with what it was given in {one} rounded to {other}" if one != other else ""
