"""One fire: forwards in blocks, a look at some outputs in between, a row that grows.

Owns when to look, to report and to stop. How a forward is timed is `pace.py`'s, what a look finds is `look.py`'s.
"""

from __future__ import annotations

import functools
import sys
import time
from typing import TYPE_CHECKING, Any

from workbench.protocol.failures import WorkbenchError, error
from workbench.worker.bench.modes import grad_context, seed_generators
from workbench.worker.job import Job
from workbench.worker.judge import leak, memory
from workbench.worker.judge.look import Looker
from workbench.worker.judge.pace import BLOCK, Pace, seed_quickly
from workbench.worker.judge.replay import Parts, Record
from workbench.worker.judge.rows import Row

if TYPE_CHECKING:
    from workbench.worker.judge.run import Runs

REPORT = 100_000_000
"""Nanoseconds between two reports of a growing row."""
LEAK_REPORT = 1_000_000_000
"""Nanoseconds between two words about memory."""
SHARE = 0.01
"""Share of the elapsed time that looking at outputs may take."""
EVERY = 128
"""Forwards up to which each one's output is looked at: a fault in the seventh call is one that a sample misses."""
EVERY_SPENT = 500_000_000
"""Nanoseconds of looking after which also such a short repeat looks at a sample only."""
CLOSING = 50_000_000
"""Nanoseconds of a forward up to which a cancelled repeat runs one more to look at its last output."""
RESERVE = 0.10
"""Share of the memory that must stay free while outputs are kept."""


class Firing:
    """One `Fire` being worked on."""

    def __init__(self, runs: Runs, number: int, count: int, job: Job, note: str = "") -> None:
        """`count` 0: until cancelled. `note` is worth knowing before anything was run."""
        self._runs, self._count, self._job = runs, count, job
        self._bench = runs.bench
        self._modes = runs.bench.modes
        self._parts = Parts(self._bench.model)
        self._looker = Looker(runs, self._parts)
        self._first: Record | None = None
        self._spent = 0
        """Nanoseconds of looking so far."""
        self._points = leak.Series()
        self._per_run = 0
        """Bytes that a kept output costs."""
        self._number, self._note = number, note
        self._counted = self._trimmed = 0
        self.row: Row | None = None
        """None until the first forward has come back."""

    def run(self) -> Row:
        """Fire; returns the finished row. Raises `WorkbenchError` with the row as far as it came in `self.row`."""
        memory.reset_cuda_peak(self._modes.device)
        row = self._open()
        try:
            with grad_context(self._modes.grad):
                self._first_forward(row)
                if self._count != 1:
                    self._rest(row)
        except KeyboardInterrupt:
            if not row.times.count or not self._job.cancelled:
                raise
            row.note("the last forward was interrupted")
        finally:
            if row.times.count:
                self._end(row)
        return row

    def _open(self) -> Row:
        args, kwargs = self._bench.args, self._bench.kwargs
        self._seed = functools.partial(seed_quickly, self._modes) if self._modes.rng == "fixed" else None
        if self._seed is not None:
            seed_generators(self._modes.seed)
        record = self._runs.recorder.take(self._parts, self._modes, args, kwargs)
        row = Row(self._number, self._modes, self._parts.dtype(), record)
        row.note(self._note)
        keep = self._runs.kept.append if self._modes.keep_outputs else None
        call = functools.partial(self._bench.model, *args, **kwargs)
        self._pace = Pace(call, self._modes.device, row.times, self._seed, keep)
        if self._parts.buffers and record.buffers is None:
            row.note("buffers are too large to be recorded: a replay starts from those of now")
        return row

    def _first_forward(self, row: Row) -> None:
        self._guard_memory(row)
        before = self._held()
        self._began = time.perf_counter_ns()
        output = self._forward()
        self._looker.first(row, output)
        self.row = row
        del output
        self._per_run = row.saved_bytes + row.output_bytes + 1024
        # the first look warms up our own code as well: it is no part of the repeat's wall time
        self._spent = 0
        self._began = time.perf_counter_ns() - row.times.first
        self._remember(row)
        row.growth = float(self._held() - before)
        row.seconds = row.times.first / 1e9
        self._reported = self._spoke = self._began

    def _rest(self, row: Row) -> None:
        expected, block = row.times.first, 1
        while not self._job.cancelled:
            left = self._count - row.times.count if self._count else sys.maxsize
            if left <= 0:
                return
            self._guard_memory(row)
            block = self._block(block, expected, left)
            last = bool(self._count) and block >= left
            look = last or self._may_look()
            start = time.perf_counter_ns()
            if block > look:
                self._forwards(block - look, expected)
                expected = (time.perf_counter_ns() - start) // (block - look)
            if look:
                self._look(row)
            self._remember(row)
            self._between(row)
        if row.times.count > 1 and expected < CLOSING:
            self._look(row)
            self._remember(row)

    def _block(self, previous: int, expected: int, left: int) -> int:
        if self._every():
            return 1
        size = min(BLOCK // max(1, expected), left, 2 * previous)
        if self._modes.keep_outputs:
            available, whole = memory.available()
            room = available - RESERVE * whole
            size = min(size, int(room / (4 * self._per_run))) if whole else size
        return max(1, size)

    def _every(self) -> bool:
        return 0 < self._count <= EVERY and self._spent < EVERY_SPENT

    def _may_look(self) -> bool:
        return self._every() or self._spent < SHARE * (time.perf_counter_ns() - self._began)

    def _look(self, row: Row) -> None:
        start = time.perf_counter_ns()
        forwards = row.times.total
        if self._seed is not None:
            self._seed()  # the record must hold what the forward starts from
        record = self._runs.recorder.again(row.record, self._parts)
        output = self._forward()
        self._looker.further(row, output, record)
        del output
        self._spent += time.perf_counter_ns() - start - (row.times.total - forwards)

    def _between(self, row: Row) -> None:
        now = time.perf_counter_ns()
        if now - self._reported >= REPORT:
            self._reported = now
            self._measure(row, now)
            self._job.emit(row.report(live=True))
            if now - self._spoke >= LEAK_REPORT:
                self._spoke = now
                self._runs.speak(row, self._job)

    def _measure(self, row: Row, now: int) -> None:
        row.rss = memory.rss()
        row.cuda = memory.cuda_use(self._modes.device)
        if row.times.count > 1:
            row.seconds = (now - self._began - self._spent) / 1e9  # looking is ours, and no forward
            row.growth = leak.slope(self._points.points)

    def _remember(self, row: Row, last: bool = False) -> None:
        """A point of both series; while outputs are kept at most one every `REPORT`, and always the `last`."""
        forwards = row.times.count - self._counted
        if not forwards or self._job.still:  # what a person keeps at a console is no growth of the model's
            return
        if self._modes.keep_outputs:
            # small kept outputs pin the free blocks between them: without this every run seems to climb
            now = time.perf_counter_ns()
            if len(self._points.points) > 8 and now - self._trimmed < REPORT and not last:
                return
            self._trimmed = now
            memory.trim()
        self._counted = row.times.count
        held = self._held()
        self._points.add(row.times.count, held)
        self._runs.remember(forwards, held)

    def _held(self) -> int:
        return memory.anonymous() - self._runs.own_bytes

    def _guard_memory(self, row: Row) -> None:
        """Raises `WorkbenchError("memory")` before kept outputs fill the machine."""
        if not self._modes.keep_outputs:
            return
        available, whole = memory.available()
        if not whole or available > self._runs.reserve * whole:
            return
        kept = len(self._runs.kept)
        message = (
            f"Stopped before memory ran out: {leak.size(available)} of {leak.size(whole)} are left, and {kept} outputs "
            f"are kept with {leak.size(row.saved_bytes or self._runs.last_saved)} of graph behind each."
        )
        remedy = "Switch keep outputs off, which gives the memory back, or run under no_grad."
        raise error("memory", message, "keep outputs", remedy)

    def _end(self, row: Row) -> None:
        if not row.running:
            return
        row.running = False
        self._remember(row, last=True)
        together = self._pace.together(round(row.times.typical))
        if row.times.count > together > 1:
            row.note(f"each time is the mean of about {together} forwards")
        self._measure(row, time.perf_counter_ns())
        if self._job.still:
            row.growth = 0.0
            row.note(
                f"paused for {self._job.still_seconds:.0f} s at {', '.join(self._job.still)}: "
                "its time is not the model's"
            )
            self._runs.disturbed("")

    def _forward(self) -> Any:
        try:
            return self._pace.one()
        except Exception as problem:
            raise self._explained(problem) from problem

    def _forwards(self, count: int, expected: int) -> None:
        try:
            self._pace.many(count, expected)
        except Exception as problem:
            raise self._explained(problem) from problem

    def _explained(self, problem: Exception) -> WorkbenchError:
        from workbench.worker.judge.origin import explain_from_start

        return WorkbenchError(explain_from_start(problem, self._bench.model, self._bench.args, self._bench.kwargs))
