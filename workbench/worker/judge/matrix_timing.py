"""The cells of the mode matrix timed beside each other, and what that says about each.

Owns the warm-up, the guard of memory, and that the model is before each block and afterwards as it was: forwards in
train mode move statistics, and cells that are looked at later are compared with a baseline from before. The rounds
themselves are `rounds.py`'s.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

from workbench.protocol.matrix import MatrixCell
from workbench.worker.job import Job
from workbench.worker.judge import rounds, serving
from workbench.worker.judge.cells import Ground, block_of
from workbench.worker.judge.held import Snapshot
from workbench.worker.judge.leak import size
from workbench.worker.judge.memory import available
from workbench.worker.judge.snapshot import untouched_model

RESERVE = 0.1
"""Share of the machine's memory that must stay free while cells are timed: some models keep what each run makes."""


class Full(Exception):
    """Memory is nearly used up."""


class Timing:
    """One series of shuffled rounds."""

    def __init__(self, count: int, seconds: float, job: Job) -> None:
        """`count` rounds, or 0 for as many as `seconds` allow."""
        self._count, self._seconds, self._job = count, seconds, job
        self.forward_seconds = 0.0
        """Spent in forwards that count."""
        self._snapshots: list[Snapshot] = []
        self._names: list[set[str]] = []
        """Of each snapshot, what moved in the first round: only this is put back from then on."""
        self._learning = 0
        """Blocks after which everything is still compared: as long as all parameters take, and caches are cold then."""

    def time(self, cells: Sequence[tuple[MatrixCell, Ground, float]]) -> tuple[list[dict[str, Any]], dict[str, Any]]:
        """Time (cell, its model, expected seconds a forward), the baseline first.

        Returns what becomes known as fields of each `MatrixCell`, and of the `Matrix`. Raises `Full`, `Cancelled`, and
        what a forward raises.
        """
        with ExitStack() as stack:
            grounds = {id(ground): ground for _, ground, _ in cells}
            self._snapshots = [
                stack.enter_context(untouched_model(one.model, one.args, one.kwargs)) for one in grounds.values()
            ]
            self._names, self._learning = [set() for _ in self._snapshots], len(cells) + 2  # the control, and the last
            sides = [rounds.Side(block_of(ground, one.cell), expected) for one, ground, expected in cells]
            for (one, _, _), side in zip(cells, sides):  # noqa: B905 (made together)
                if one.cell.compiled:  # a worker that took over has not compiled it yet
                    self._job.progress(f"warming up {serving.name(one)}")
                    side.run(1)
            timed = rounds.time_rounds(sides, self._count, self._seconds, self._look, time.monotonic)
        self.forward_seconds = sum(side.seconds for side in sides)
        return [_of_cell(place, side, timed) for place, side in enumerate(sides)], _of_matrix(timed)

    def _put_back(self) -> None:
        """Everything as it was, after the block before."""
        learning, self._learning = self._learning > 0, self._learning - 1
        for snapshot, names in zip(self._snapshots, self._names):  # noqa: B905 (one for each)
            if learning:
                names.update(name for name, _ in snapshot.moved())
                snapshot.restore()
            elif names:
                snapshot.put_back(names.__contains__)

    def _look(self, done: int, share: float) -> None:
        self._job.progress("timing them beside each other", round(100 * share), 100)
        self._put_back()
        free, whole = available()
        if whole and free < RESERVE * whole:
            raise Full(f"only {size(free)} of memory were left")


def _of_cell(place: int, side: rounds.Side, timed: rounds.Timed) -> dict[str, Any]:
    known: dict[str, Any] = {"latency": rounds.spread_of(side.samples, side.forwards), "rounds": timed.rounds}
    if timed.control is None:
        return known
    ratio = timed.ratios[place]
    return known | {
        "ratio": ratio.middle, "ratio_low": ratio.low, "ratio_high": ratio.high,
        "same_speed": ratio.within(timed.control),
    }  # fmt: skip


def _of_matrix(timed: rounds.Timed) -> dict[str, Any]:
    control = timed.control or rounds.Ratio(0.0, 0.0, 0.0)
    busy = ""
    if timed.share < rounds.BUSY:
        busy = (
            f"The machine was busy: the measuring thread had {100 * timed.share:.0f} % of a core. Times are longer and "
            "ratios less sure than on an idle one."
        )
    return {"control_low": control.low, "control_high": control.high, "rounds": timed.rounds, "busy": busy}
