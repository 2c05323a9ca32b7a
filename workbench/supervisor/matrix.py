"""The flow of a mode matrix: a worker that dies in one cell is replaced, and the others are still measured.

Owns who is started how often, and what becomes of what is known when it ends early. It measures nothing itself.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

from workbench.protocol.failures import WorkbenchError
from workbench.protocol.matrix import CRASHED, SKIPPED, WAITING, WORKING, Matrix, MeasureMatrix

from .ephemeral import Flow
from .export import absolute_python

MOST_CRASHES = 4
"""Workers that may die before the rest is left out: each costs an import of torch."""

LATE = 1.2
"""Share of the budget after which a worker that does not end by itself (a compilation cannot be asked) is ended."""
LEAST_LATE = 60.0
"""Seconds that it has beyond the budget for loading the model and for the cell that it is in."""


async def measure_matrix(request: MeasureMatrix, flow: Flow) -> Matrix:
    """All cells, as far as they come. Cancelled, or out of time, it ends normally with what it has.

    Raises `WorkbenchError` when nothing is known yet.
    """
    seen: list[Matrix] = []

    def on_event(body: Any) -> None:
        if isinstance(body, Matrix):
            seen.append(body)
            del seen[:-1]
            flow.tell(body)

    crashes = 0
    budget = request.budget
    python = absolute_python(request.python)
    while True:
        timeout = request.budget * LATE + LEAST_LATE if request.budget else 0.0
        try:
            result = await flow.run("matrix", request, python=python, timeout=timeout, on_event=on_event)
            if isinstance(result, Matrix):
                return replace(result, seconds=flow.seconds)
            raise WorkbenchError(_unexpected(result))
        except asyncio.CancelledError:
            if not seen:
                raise
            return _ended(seen[0], "cancelled", SKIPPED, "cancelled before it was measured", flow.seconds)
        except WorkbenchError as problem:
            if not seen or problem.failure.kind not in ("engine", "timeout"):
                raise
            if problem.failure.kind == "timeout":
                words = "it did not end in time"
                return _ended(seen[0], "out of time", SKIPPED, words, flow.seconds, "Give it more time: --timeout.")
            crashes += 1
            cause = problem.failure.message.rpartition(" died: ")[2]
            working = any(one.status == WORKING for one in seen[0].cells)
            if crashes >= MOST_CRASHES or not working:
                words = f"its worker died: {cause}"
                if not working:
                    words = f"the worker died while it was timed: {cause}"
                return _ended(seen[0], "done", CRASHED, words, flow.seconds)
            seen[0] = _settled(seen[0], CRASHED, f"the worker died of it: {cause}", "", False)
            flow.tell(seen[0])
            left = budget - flow.seconds if budget else 0.0
            if budget and left <= 0:
                words = f"the {budget:.0f} s given were used up when the worker died of another cell"
                return _ended(seen[0], "out of time", SKIPPED, words, flow.seconds, "Give it more time: --timeout.")
            request = replace(request, former=seen[0], budget=left)


def _ended(matrix: Matrix, how: str, status: str, words: str, seconds: float, remedy: str = "") -> Matrix:
    return replace(_settled(matrix, status, words, remedy, True), ended=how, seconds=seconds)


def _settled(matrix: Matrix, status: str, words: str, remedy: str, everything: bool) -> Matrix:
    """The cell that was worked on has this status and reason; with `everything` those that waited are left out."""
    cells = []
    for one in matrix.cells:
        if one.status == WORKING:
            one = replace(one, status=status, reason=words, remedy=remedy)
        elif one.status == WAITING and everything:
            one = replace(one, status=SKIPPED, reason="not reached" if status == CRASHED else words, remedy=remedy)
        cells.append(one)
    return replace(matrix, cells=tuple(cells))


def _unexpected(result: Any) -> Any:
    from workbench.protocol.failures import Failure

    return Failure("engine", f"The worker answered with {type(result).__name__} where Matrix was due.")
