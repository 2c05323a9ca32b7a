"""The mode matrix: every combination of modes looked at one after the other, then timed beside each other.

Owns the order, the budget and what is said meanwhile. A look is `cells.py`'s, the timing `rounds.py`'s, the
recommendation `serving.py`'s. It runs in a worker of its own, built from the recipe and a snapshot of the state.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import replace

import torch

from workbench.protocol.failures import WorkbenchError
from workbench.protocol.matrix import CRASHED, MEASURED, RAISED, SKIPPED, WAITING, WORKING, Cell, Matrix, MatrixCell
from workbench.protocol.matrix import MeasureMatrix as Request
from workbench.protocol.model import ModeChange, Modes
from workbench.protocol.runs import Yardstick
from workbench.worker.bench import modes as switches
from workbench.worker.bench.diagnosis import explain
from workbench.worker.bench.failing import first_line
from workbench.worker.bench.load import Built, build
from workbench.worker.bench.placement import dtype_named
from workbench.worker.job import Cancelled, Job
from workbench.worker.judge import beside, compiling, rounds, serving
from workbench.worker.judge.beside import Base
from workbench.worker.judge.cells import Ground, Grounds, Seen, look
from workbench.worker.judge.matrix_plan import kept, measured_noise, plan, reason_of
from workbench.worker.judge.matrix_timing import Full, Timing
from workbench.worker.judge.memory import give_back

COMPILE_GUESS = 15.0
"""Seconds that a compilation is expected to take before one was seen."""
FIRST_ROUNDS = 2.0
"""Seconds of timing before anything is compiled, so that there is something to see."""
LAST_ROUNDS = 8.0
"""Seconds of timing at the end."""
LOOKS = 3
"""Forwards of one look at most."""


def measure_matrix(request: Request, job: Job) -> Matrix:
    """Look at every cell and time them; emits the `Matrix` as it becomes known.

    Raises `WorkbenchError` when the model cannot be built, or runs in no cell that others could be compared with.
    """
    for name in request.dtypes:
        dtype_named(name)
    built = build(request.recipe, job, request.state)
    modes = request.modes
    change = ModeChange(training=False, dtype=modes.dtype, device=modes.device, threads=modes.threads)
    now = switches.apply(built.model, built.example, switches.read_modes(built.model), change)
    return Measuring(request, built, now, job).run()


class Measuring:
    """One matrix being measured."""

    def __init__(self, request: Request, built: Built, modes: Modes, job: Job) -> None:
        self._request, self._built, self._job = request, built, job
        example = built.example
        self._grounds = Grounds(built.model, example, modes.device, job)
        self._began = time.monotonic()
        self._base: Seen | None = None
        self._base_cell = Cell(False, "no_grad")
        self._yardstick: Yardstick | None = request.yardstick
        self._slow = False
        self._compile_seconds = COMPILE_GUESS
        self._no_compile = ("", "")
        self._seconds: dict[Cell, float] = {}
        """One forward of each cell that was looked at."""
        dtype = self._grounds.get("").dtype()
        casts = dict.fromkeys(name for name in request.dtypes if name != dtype)
        former = {one.cell: one for one in request.former.cells} if request.former else {}
        planned = [MatrixCell(cell, cell.cast or dtype) for cell in plan(casts, request.compile)]
        self._cells = {one.cell: kept(former.get(one.cell), one) for one in planned}
        self._matrix = Matrix((), modes.device, torch.get_num_threads(), example.batch)

    def run(self) -> Matrix:
        """Everything; returns the last `Matrix`."""
        self._find_baseline()
        eager = [cell for cell in self._cells if not cell.compiled]
        compiled = [cell for cell in self._cells if cell.compiled]
        for cell in eager:
            self._look(cell)
        if compiled:
            self._time(FIRST_ROUNDS)
            self._no_compile = compiling.impossible()
            for cell in compiled:
                self._look(cell)
        self._time(LAST_ROUNDS)
        late = any(one.status == SKIPPED for one in self._cells.values()) and self._left() < self._next(False)
        return self._tell(ended="out of time" if late else "done")

    # what is said

    def _tell(self, **change: object) -> Matrix:
        cells = tuple(self._cells.values())
        pick, words = serving.recommend(cells)
        self._matrix = replace(
            self._matrix, cells=cells, pick=pick, words=words, seconds=time.monotonic() - self._began, **change  # type: ignore[arg-type]
        )  # fmt: skip
        self._job.emit(self._matrix)
        return self._matrix

    def _set(self, cell: Cell, **change: object) -> None:
        self._cells[cell] = replace(self._cells[cell], **change)  # type: ignore[arg-type]

    def _left(self) -> float:
        budget = self._request.budget
        return budget - (time.monotonic() - self._began) if budget else math.inf

    def _next(self, compiled: bool) -> float:
        """Seconds that one look more takes."""
        forward = self._seconds.get(self._base_cell, 0.0)
        return forward * (1 if self._slow else LOOKS) + (self._compile_seconds if compiled else 0.0)

    # looking

    def _find_baseline(self) -> None:
        """Eval, no_grad, eager; where that does not run, the next that does."""
        problems = []
        for grad in ("no_grad", "inference_mode", "grad"):
            cell = Cell(False, grad)
            if self._cells[cell].status in (CRASHED, RAISED):
                problems.append(self._cells[cell])
                continue
            seen = self._try(cell)
            if seen is None:
                problems.append(self._cells[cell])
                continue
            self._base, self._base_cell = seen, cell
            self._seconds[cell] = seen.seconds
            words = f"compared with {grad}: {serving.name(problems[0])} {problems[0].reason}" if problems else ""
            self._estimate(seen.seconds)
            given = self._request.yardstick
            self._yardstick = given or measured_noise(self._built, seen, self._request.budget, self._job)
            self._matrix = replace(
                self._matrix, yardstick=self._yardstick.kind, yardstick_reason=self._yardstick.reason
            )
            self._found(cell, seen, baseline=True)
            self._tell(baseline=words)
            return
        first = problems[0]
        raise WorkbenchError(self._failure) if first.status == RAISED else _all_crashed(first)

    def _estimate(self, forward: float) -> None:
        """Whether there is time for more than one forward a cell, and what everything will take."""
        left = [cell for cell, one in self._cells.items() if one.status == WAITING]
        compiled = sum(cell.compiled for cell in left)
        timing = max(LAST_ROUNDS, rounds.LEAST_ROUNDS * forward * (len(self._cells) + 1))
        looks = forward * LOOKS * len(left)
        budget = self._request.budget
        self._slow = bool(budget) and looks + timing > budget
        if self._slow:
            looks, timing = forward * len(left), 0.0
        expected = looks + timing + compiled * self._compile_seconds
        self._matrix = replace(self._matrix, estimate=expected)

    def _look(self, cell: Cell) -> None:
        one = self._cells[cell]
        if one.status in (RAISED, CRASHED, SKIPPED) or cell in self._seconds:
            return
        if one.status == MEASURED and one.latency is not None and not cell.compiled:
            self._seconds[cell] = one.latency.median
            return
        if cell.compiled and self._no_compile[0]:
            self._set(cell, status=SKIPPED, reason=self._no_compile[0], remedy=self._no_compile[1])
            self._tell()
            return
        if self._left() < self._next(cell.compiled):
            forward = self._seconds[self._base_cell]
            words = (
                f"not tried: a forward takes {forward:.2g} s, and the {self._request.budget:.0f} s given are used up"
            )
            self._set(cell, status=SKIPPED, reason=words, remedy="Give it more time: --timeout.")
            self._tell()
            return
        seen = self._try(cell)
        if seen is not None:
            self._seconds[cell] = seen.seconds
            self._found(cell, seen)
            self._tell()

    def _try(self, cell: Cell) -> Seen | None:
        """One look; None, with the reason in the cell, when it raised."""
        places = list(self._cells)
        self._set(cell, status=WORKING)
        words = serving.name(self._cells[cell])
        phase = f"{'compiling' if cell.compiled else 'looking at'} {words}{self._expected()}"
        alive = self._alive(phase, places.index(cell), len(places))
        alive()
        self._tell()
        ground: Ground | None = None
        try:
            ground = self._grounds.get(cell.cast)
            return look(ground, cell, self._slow, alive)
        except (Cancelled, KeyboardInterrupt):
            raise
        except (Exception, SystemExit) as problem:  # noqa: BLE001 (a cell that raises is a cell with its reason)
            self._failure = explain(problem, *((ground.model, ground.args, ground.kwargs) if ground else ()))
            self._set(cell, status=RAISED, **reason_of(cell, problem, self._failure))
        give_back()
        self._tell()
        return None

    def _expected(self) -> str:
        total = self._matrix.estimate
        return f" (all of it takes about {total / 60:.0f} min)" if total > 90 else ""

    def _alive(self, phase: str, done: int, total: int) -> Callable[[], None]:
        return lambda: self._job.progress(phase, done, total)

    def _found(self, cell: Cell, seen: Seen, baseline: bool = False) -> None:
        """What a look says, beside the baseline's."""
        assert self._base is not None
        assert self._yardstick is not None
        if cell.compiled:
            self._compile_seconds = max(1.0, min(seen.compile_seconds, self._compile_seconds * 4))
        base = Base(self._base_cell, self._base, serving.name(self._cells[self._base_cell]), self._yardstick)
        known = beside.facts(self._cells[cell], seen, self._grounds.get, base, self._slow)
        self._set(cell, status=MEASURED, baseline=baseline, latency=rounds.spread_of([seen.seconds], 1), **known)

    # timing

    def _time(self, seconds: float) -> None:
        """Shuffled rounds over every cell that ran, with the baseline beside itself."""
        ran = [cell for cell in self._seconds if self._cells[cell].status == MEASURED]
        ran.sort(key=lambda cell: cell != self._base_cell)  # the baseline first
        one_round = sum(max(rounds.BLOCK, self._seconds[cell]) for cell in ran) + self._seconds[self._base_cell]
        wanted = max(seconds, 1.2 * rounds.LEAST_ROUNDS * one_round)
        if self._request.rounds:
            wanted = self._request.rounds * one_round
        if wanted > self._left() or (self._slow and wanted > self._left() / 2):
            return
        timing = Timing(self._request.rounds, wanted, self._job)
        try:
            sides = [(self._cells[cell], self._grounds.get(cell.cast), self._seconds[cell]) for cell in ran]
            known, about = timing.time(sides)
        except (Cancelled, KeyboardInterrupt):
            raise
        except Full as full:
            self._tell(busy=f"Not timed beside each other: {full}, because the model keeps what each run makes.")
            return
        except Exception as problem:  # noqa: BLE001 (a model that raises in a later run only: its looks stay)
            self._tell(busy=f"Timing ended, for a later forward raised {first_line(problem)}")
            return
        for cell, change in zip(ran, known):  # noqa: B905 (one for each)
            self._set(cell, **change)
        about["forward_seconds"] = self._matrix.forward_seconds + timing.forward_seconds
        self._tell(**about)


def _all_crashed(cell: MatrixCell) -> WorkbenchError:
    from workbench.protocol.failures import error

    return error("engine", f"The model runs in no eval mode: {serving.name(cell)} {cell.reason}", remedy=cell.remedy)
