"""The flow of a mode matrix whose workers die, without an engine."""

from __future__ import annotations

from typing import Any

import pytest

from workbench.protocol.failures import Failure, WorkbenchError
from workbench.protocol.matrix import CRASHED, SKIPPED, WAITING, WORKING, Cell, Matrix, MatrixCell, MeasureMatrix
from workbench.protocol.model import Modes, Recipe
from workbench.supervisor.matrix import measure_matrix

GRADS = ("no_grad", "inference_mode", "grad")


class Dying:
    """A flow whose every worker takes so many seconds and dies in the next cell."""

    def __init__(self, takes: float) -> None:
        self.takes, self.seconds = takes, 0.0
        self.budgets: list[tuple[float, float]] = []

    def tell(self, body: Any) -> None:
        pass

    async def run(self, role: str, request: MeasureMatrix, *, python: str, timeout: float, on_event: Any) -> Any:
        at = len(self.budgets)
        self.budgets.append((request.budget, timeout))
        self.seconds += self.takes
        states = [CRASHED if place < at else WORKING if place == at else WAITING for place in range(3)]
        cells = [MatrixCell(Cell(False, grad), "float32", status=one) for grad, one in zip(GRADS, states, strict=True)]
        on_event(Matrix(tuple(cells), "cpu", 1, 8))
        raise WorkbenchError(Failure("engine", "worker died: segfault"))


@pytest.mark.parametrize(
    ("takes", "budgets"), [(100.0, [(250.0, 360.0), (150.0, 240.0), (50.0, 120.0)]), (250.0, [(250.0, 360.0)])]
)
async def test_workers_that_die_share_one_budget(takes: float, budgets: list[tuple[float, float]]):
    flow = Dying(takes)
    matrix = await measure_matrix(MeasureMatrix(Recipe("a.py:A"), Modes(), budget=250.0, compile=False), flow)  # type: ignore[arg-type]
    assert flow.budgets == budgets
    assert matrix.ended == "out of time"
    assert not any(one.status in (WAITING, WORKING) for one in matrix.cells)
    assert matrix.cells[0].status == CRASHED
    left = [one for one in matrix.cells if one.status == SKIPPED]
    assert all("250 s given were used up" in one.reason and "--timeout" in one.remedy for one in left)
    assert len(left) == 3 - len(budgets)


async def test_without_a_budget_there_is_none_after_a_crash():
    flow = Dying(1000.0)
    await measure_matrix(MeasureMatrix(Recipe("a.py:A"), Modes(), budget=0.0, compile=False), flow)  # type: ignore[arg-type]
    assert set(flow.budgets) == {(0.0, 0.0)}
