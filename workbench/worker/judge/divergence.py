"""Where two runs part: both are replayed with every module watched, and the first module to differ is named.

Owns the search and the evidence; `blame.py` has the words. The live model is afterwards exactly as before, and
nothing here is timed or judged.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from workbench.protocol.failures import WorkbenchError, error
from workbench.protocol.messages import FindDivergence
from workbench.protocol.runs import Divergence
from workbench.worker.job import Cancelled, Job
from workbench.worker.judge import memory
from workbench.worker.judge.blame import Evidence, blame, unexplained
from workbench.worker.judge.compare import compare
from workbench.worker.judge.digest import digest
from workbench.worker.judge.leaves import Flat
from workbench.worker.judge.live import kept_as_it_is, replay
from workbench.worker.judge.records import RECORDS
from workbench.worker.judge.replay import Parts, Record
from workbench.worker.judge.watch import Call, RandomOperator, RandomOperators, Watcher

if TYPE_CHECKING:
    from workbench.worker.bench.bench import Bench
    from workbench.worker.judge.rows import Row
    from workbench.worker.judge.run import Runs

LISTED = 20
"""Differing modules that are named."""
COPIES = 4 << 30
"""Most bytes of module outputs of the first replay that are held for the second."""


def find(bench: Bench, runs: Runs, request: FindDivergence, job: Job) -> Divergence:
    """Replay both runs and name the first module whose inputs agree and whose output differs.

    Raises `WorkbenchError("usage")` for runs that are not kept, and what a forward raises as `WorkbenchError`.
    """
    against = request.against or runs.reference
    if not against or request.run == against:
        raise error("usage", "A run cannot part from itself.", f"run {request.run}", "Choose another run.")
    other, reference = runs.row(request.run), runs.row(against)
    parts = Parts(bench.model)
    obstacle = _obstacle(parts, other, reference)
    if obstacle:
        return _nothing(request.run, against, obstacle)
    search = _Search(bench.model, parts, reference, other, job)
    try:
        with kept_as_it_is(bench.model):
            search.run()
    except (WorkbenchError, Cancelled):
        raise
    except Exception as problem:
        from workbench.worker.bench.diagnosis import explain

        raise WorkbenchError(explain(problem, bench.model, bench.args, bench.kwargs)) from problem
    if search.evidence is None:
        words = unexplained(reference.record, other.record, reference.number, other.number, _same_outputs(runs, search))
        return _nothing(request.run, against, words)
    evidence = search.evidence
    kind, words, remedy, where = blame(evidence)
    modules = tuple(dict.fromkeys(call.path for call in search.differing))[:LISTED]
    call = evidence.call
    name = type(call.module).__name__
    return Divergence(
        request.run, against, call.path, call.number, name, kind, search.max_abs, where, words, remedy, modules
    )


def _nothing(run: int, against: int, words: str) -> Divergence:
    return Divergence(run, against, "", 0, "", "unknown", 0.0, "", words, "", (), False)


def _obstacle(parts: Parts, other: Row, reference: Row) -> str:
    """Why these two cannot be replayed, in words; empty when they can."""
    a, b = reference.record, other.record
    for row, record in ((reference, a), (other, b)):
        if record.model() is not parts.model():
            return f"The model was loaded again since run {row.number}: the weights it had are gone."
        if not record.replayable:
            return (
                f"What run {row.number} started from is no longer kept: only the newest {RECORDS} runs can be replayed."
            )
        if record.inputs_changed():
            return f"The inputs of run {row.number} were changed in place since, so it cannot be replayed."
    if (a.modes.dtype, a.modes.device) != (b.modes.dtype, b.modes.device):
        return (
            f"Run {reference.number} ran in {reference.dtype} on {a.modes.device}, run {other.number} in {other.dtype} "
            f"on {b.modes.device}: every module rounds differently from the first on."
        )
    now = parts.weights()
    for row, record in ((reference, a), (other, b)):
        if record.weights != now:
            return f"The weights were changed, cast or moved since run {row.number}, so it cannot be replayed."
    return ""


def _same_outputs(runs: Runs, search: _Search) -> bool:
    """Whether both runs gave the same bits when they were fired."""
    numbers = (search.reference.number, search.other.number)
    if any(number not in runs.store for number in numbers):
        return False
    return digest(runs.store.get(numbers[0])) == digest(runs.store.get(numbers[1]))


@dataclass(eq=False)
class _Search:
    """The replays of one search."""

    model: nn.Module
    parts: Parts
    reference: Row
    other: Row
    job: Job
    evidence: Evidence | None = None
    max_abs: float = 0.0
    differing: list[Call] = field(default_factory=list)
    """Calls of the second replay whose output differs, in the order in which they returned."""
    _first: dict[tuple[str, int], Call] = field(default_factory=dict)
    _found: Call | None = None

    def run(self) -> None:
        """Replay both; sets `evidence` when a module is found."""
        self.job.progress(f"replaying run {self.reference.number}")
        available, _ = memory.available()
        budget = min(COPIES, available // 4)
        watcher = self._replay(self.reference.record, budget)
        self._first = {call.key: call for call in watcher.calls}
        self.job.progress(f"replaying run {self.other.number}")
        self._replay(self.other.record, 0, self._against_first)
        if self._found is not None:
            self.evidence = self._gather(self._found, self._first[self._found.key])

    def _replay(self, record: Record, budget: int = 0, returned: Any = None) -> Watcher:
        watcher = Watcher(self.parts.modules, self.job, budget, returned)
        with watcher.on():
            replay(self.model, self.parts, record)
        return watcher

    def _against_first(self, call: Call, output: Flat) -> None:
        before = self._first.get(call.key)
        if before is None or before.answered == call.answered:
            return
        self.differing.append(call)
        if self._found is not None or before.received != call.received:
            return
        self._found = call
        if before.output is not None:
            _, leaves = compare(before.output, output)
            self.max_abs = max((leaf.max_abs for leaf in leaves), default=0.0)
        else:
            self.max_abs = max(self.other.judged.max_abs, self.reference.judged.max_abs)

    def _gather(self, call: Call, before: Call) -> Evidence:
        """Everything that tells why `call` differs; may replay once or twice more."""
        records = (self.reference.record, self.other.record)
        operators: list[RandomOperator] = []
        repeats = True
        if call.moved or before.moved:
            self.job.progress("looking for the random operator")
            record = records[1] if call.moved else records[0]
            watcher = Watcher(self.parts.modules, self.job)
            with watcher.on(), RandomOperators(watcher, call.key) as mode:
                replay(self.model, self.parts, record)
            operators = mode.found
        else:
            self.job.progress("replaying once more from the same state")
            again = {one.key: one for one in self._replay(records[0]).calls}
            repeats = call.key in again and again[call.key].answered == before.answered
        return Evidence(
            call,
            before,
            (self.reference.number, self.other.number),
            records,
            self._flags_of(call.module),
            self._buffers_differ(call.path),
            tuple(operators),
            repeats,
            self._between(call),
        )

    def _flags_of(self, module: nn.Module) -> tuple[bool, bool]:
        place = next(index for index, (_, one) in enumerate(self.parts.modules) if one is module)
        return self.reference.record.flags[place], self.other.record.flags[place]

    def _buffers_differ(self, path: str) -> tuple[str, ...]:
        """Own buffers of the module at `path` that the two runs started from with other values."""
        a, b = self.reference.record.buffers, self.other.record.buffers
        if a is None or b is None or len(a) != len(b):
            return ()
        prefix = f"{path}." if path else ""
        pairs = zip(self.parts.buffers, a, b)  # noqa: B905 (recorded from the same model)
        return tuple(
            name
            for (place, _, name), one, two in pairs
            if place == prefix + name and one is not two and not torch.equal(one, two)
        )

    def _between(self, call: Call) -> tuple[str, str]:
        """Paths of the modules below that returned last before, and were called first after, the values parted."""
        last = ""
        for inner in call.below:
            before = self._first.get(inner.key)
            if before is None or before.received != inner.received:
                return last, inner.path
            last = inner.path
        return last, ""
