"""The runs of the model on the bench: firing, the reference, the yardstick, differences.

Owns the list of rows, the store of outputs and the outputs that are kept alive on purpose. The numerics are
`compare.py`'s and `verdict.py`'s, the firing itself is `firing.py`'s.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from workbench.protocol.failures import error
from workbench.protocol.messages import Fire, GetDiff, SetReference, SetYardstick, YardstickNow
from workbench.protocol.runs import IDENTICAL, INCOMPARABLE, Diff, LeafDiff, RunRow, Yardstick
from workbench.worker.job import Job
from workbench.worker.judge import leak, memory
from workbench.worker.judge.cause import OTHER_INPUTS, cause, other_inputs
from workbench.worker.judge.compare import compare
from workbench.worker.judge.firing import RESERVE, Firing
from workbench.worker.judge.leaves import Flat
from workbench.worker.judge.own_graph import with_graph
from workbench.worker.judge.pieces import bytes_of
from workbench.worker.judge.recording import Recorder
from workbench.worker.judge.records import Records
from workbench.worker.judge.rows import DEFAULT_YARDSTICK, Judged, Row, judge_digests, judge_output, not_comparable
from workbench.worker.judge.store import Store, gone
from workbench.worker.judge.verdict import judge_all, yardstick_used

if TYPE_CHECKING:
    from workbench.worker.bench.bench import Bench

ROW_BUDGET = 10_000
"""Rows kept; the oldest goes first, never the reference."""


class Runs:
    """Every run since the model came onto the bench."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.rows: dict[int, Row] = {}
        self.reference = 0
        """Run that others are compared with; 0 before the first."""
        self.yardstick: Yardstick = DEFAULT_YARDSTICK
        self.store = Store()
        self.recorder = Recorder()
        self.records = Records()
        self.kept: list[Any] = []
        """Live outputs with their graphs, while `keep_outputs` is on."""
        self.reserve = RESERVE
        """Share of the memory that kept outputs must leave free."""
        self.last_saved = 0
        self._next = 1
        self._series = leak.Series()
        self._series_runs = self._kept_before = 0
        self._series_key: tuple[Any, ...] = ()
        self._model, self._placed = bench.model, _placed(bench)
        self._disturbances: list[str] = []

    @property
    def own_bytes(self) -> int:
        """Bytes in memory that are the bench's own and no growth of the model's."""
        newest = sum(bytes_of(tensor) for tensor in self.recorder.newest if not self.records.holds(tensor))
        return self.store.bytes_in_memory + self.records.bytes + newest

    def fire(self, request: Fire, job: Job) -> RunRow:
        """Run the model; emits the growing row and returns its last report.

        A cancelled repeat ends normally with what it has. Raises `WorkbenchError` with what the forward raised
        ("forward", "memory", "inputs" …); a repeat that came some way keeps its row.
        """
        self.settle(job)
        if request.new_inputs:
            self.bench.new_inputs()
        job.raise_if_cancelled()
        self._begin_series()
        changed = "; ".join(filter(None, (self.bench.look_at_weights(), *self._disturbances)))
        self._disturbances.clear()
        firing = Firing(self, self._next, request.count, job, changed)
        try:
            firing.run()
        finally:
            if firing.row is not None:
                self._admit(firing.row)
                job.emit(firing.row.report())
                self.speak(firing.row, job)
            elif self.reference not in self.rows:  # interrupted, or out of memory, before there was a row
                self.make_reference(0)
        assert firing.row is not None  # otherwise it raised
        return firing.row.report()

    def disturbed(self, words: str) -> None:
        """Somebody changed the model, or held a run up: the next row says so, and memory is measured anew."""
        self._series_key = ()
        if words and words not in self._disturbances:
            self._disturbances.append(words)

    def settle(self, job: Job) -> None:
        """Take note of switches and of a new model: kept outputs go when nobody wants them any more, and so does a
        yardstick that was measured of another model, dtype or device."""
        swapped, placed = self.bench.model is not self._model, _placed(self.bench)
        if (swapped or placed != self._placed) and self.yardstick.kind != "given":
            self._judge_with(DEFAULT_YARDSTICK, job)
        self._model, self._placed = self.bench.model, placed
        if self.kept and (swapped or not self.bench.modes.keep_outputs):
            self.kept.clear()
            self._series_key = ()
            memory.give_back()

    def make_reference(self, run: int) -> None:
        """Compare with `run` from now on; nothing is judged again."""
        self.reference = run
        self.hold()

    def hold(self) -> None:
        """Never let go of the reference and of what is pinned."""
        self.store.pin({self.reference, *(row.number for row in self.rows.values() if row.pinned)})

    def reference_output(self) -> Flat:
        """The reference's output. Raises `WorkbenchError("usage")` when it is no longer kept."""
        return self.store.get(self.reference)

    def set_reference(self, request: SetReference, job: Job) -> None:
        """Compare with another run from now on; judges every row again and emits it."""
        row = self.row(request.run)
        if request.run not in self.store and not row.digest:
            raise gone(request.run)
        self.make_reference(request.run)
        self._judge_again(job)

    def set_yardstick(self, request: SetYardstick, job: Job) -> None:
        """Judge with this from now on; judges every row again and emits it."""
        self._judge_with(request.yardstick, job)
        self._judge_again(job)

    def diff(self, request: GetDiff, job: Job) -> Diff:
        """Two runs in full. Raises `WorkbenchError("usage")` for runs that are not (or no longer) kept."""
        against = request.against or self.reference
        self.row(request.run)
        if against:
            self.row(against)
        job.raise_if_cancelled()
        structure, leaves = compare(self.store.get(against), self.store.get(request.run))
        yardstick = yardstick_used(leaves, self.yardstick)
        mark, leaves = judge_all(structure, leaves, yardstick)
        if mark != IDENTICAL and against and other_inputs(self.row(request.run).record, self.row(against).record):
            mark, leaves = INCOMPARABLE, tuple(_on_other_inputs(leaf) for leaf in leaves)
        return Diff(request.run, against, mark, structure, leaves, yardstick.kind, yardstick.reason)

    def row(self, run: int) -> Row:
        """The row of a run. Raises `WorkbenchError("usage")` for a number that was never fired, or is dropped."""
        if run in self.rows:
            return self.rows[run]
        if 0 < run < self._next:
            raise gone(run)
        raise error("usage", f"There is no run {run}.", f"run {run}", "Fire first, and choose a run of the list.")

    def speak(self, row: Row, job: Job) -> None:
        """Say what memory does, once there are enough runs under the same modes."""
        line = leak.fit(self._series.points)
        if line is None:
            return
        modes = self.bench.modes
        holding = leak.Holding(
            row.number,
            modes.grad,
            modes.keep_outputs,
            len(self.kept),
            len(self.kept) - self._kept_before,
            row.saved_bytes,
            row.output_bytes,
            next((name for name, _ in with_graph(self.bench.model)), "") if line.climbing else "",
        )
        job.emit(leak.explain(line, holding, memory.available()[0], row.times.typical / 1e9))

    def remember(self, forwards: int, held: int) -> None:
        """`held` anonymous bytes after `forwards` more runs, for the slope."""
        self._series_runs += forwards
        self._series.add(self._series_runs, held)

    def _begin_series(self) -> None:
        key = (id(self.bench.model), self.bench.modes, id(self.bench.args))
        if key != self._series_key:
            self._series, self._series_key, self._series_runs = leak.Series(), key, 0
            self._kept_before = len(self.kept)

    def _admit(self, row: Row) -> None:
        self.rows[row.number] = row
        self._next = row.number + 1
        self.records.admit(row, self.reference)
        while len(self.rows) > ROW_BUDGET:
            oldest = next(number for number, row in self.rows.items() if number != self.reference and not row.pinned)
            self.store.drop(oldest)
            self.records.forget(self.rows.pop(oldest))

    def _judge_with(self, yardstick: Yardstick, job: Job) -> None:
        told, self.yardstick = self.yardstick.kind, yardstick
        if told != yardstick.kind:
            job.emit(YardstickNow(yardstick.kind))

    def _judge_again(self, job: Job) -> None:
        reference = self.row(self.reference) if self.reference else None
        for row in list(self.rows.values()):
            job.raise_if_cancelled()
            if reference is not None:
                self._judge_row(row, reference)
            job.emit(row.report())

    def _judge_row(self, row: Row, reference: Row) -> None:
        row.reference = row is reference
        row.against = 0 if row.reference else reference.number
        row.differing = row.compared = 0
        row.cause = ""
        if row.reference:
            row.judged = Judged()
            return
        if row.digest and reference.digest:
            row.judged = judge_digests(reference.digest, row.digest, leak.size(row.output_bytes))
        elif row.number in self.store and self.reference in self.store:
            row.judged = judge_output(self.reference_output(), self.store.get(row.number), self.yardstick)
        else:
            row.judged = Judged("incomparable", note="its output is no longer kept")
            return
        if other_inputs(row.record, reference.record):
            row.judged = not_comparable(row.judged)
        row.compared, row.differing = 1, int(row.judged.differs)
        if row.judged.differs:
            row.cause = cause(row.record, row.moved, reference.record, reference.moved)


def _placed(bench: Bench) -> tuple[str, str]:
    """What a measured yardstick holds for, beside the model."""
    return bench.modes.dtype, bench.modes.device


def _on_other_inputs(leaf: LeafDiff) -> LeafDiff:
    return leaf if leaf.mark == IDENTICAL else replace(leaf, mark=INCOMPARABLE, reason=leaf.reason or OTHER_INPUTS)
