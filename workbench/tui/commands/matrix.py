"""The command of the mode matrix: measured in a worker of its own, shown as it becomes known; enter sets the bench."""

from __future__ import annotations

from typing import TYPE_CHECKING

from workbench.client.measures import measure_matrix
from workbench.protocol.matrix import Matrix, MatrixCell
from workbench.protocol.model import ModeChange
from workbench.tui.desk import Desk

if TYPE_CHECKING:
    from workbench.tui.screens.matrix import MatrixScreen

_LOOK = ("Matrix", "Progress", "Done", "WorkerDied")
"""Events after which the screen looks again."""


async def matrix(desk: Desk) -> None:
    """Show the matrix of this model; the first time measure it."""
    from workbench.tui.screens.matrix import MatrixScreen

    def measure(dtypes: tuple[str, ...], compile: bool) -> None:
        desk.run(lambda desk: _measure(desk, screen, dtypes, compile))

    def cancel() -> None:
        desk.run(_cancel)

    screen = MatrixScreen(desk.state, measure, cancel)
    stop = desk.session.listen(lambda body, _: screen.look() if type(body).__name__ in _LOOK else None)
    try:
        if desk.state.matrix is None and _job(desk) == 0:
            measure((), True)
        cell = await desk.ask(screen)
    finally:
        stop()
    if cell is not None:
        await desk.change(change_for(cell))
        if cell.cell.compiled:
            desk.say("the bench has these modes now, and runs eager: torch.compile is none of its switches")


def change_for(cell: MatrixCell) -> ModeChange:
    """The mode change that puts the bench into a cell's modes; its dtype only where the cell was cast."""
    return ModeChange(training=cell.cell.training, grad=cell.cell.grad, dtype=cell.cell.cast or None)


async def _measure(desk: Desk, screen: MatrixScreen, dtypes: tuple[str, ...], compile: bool) -> None:
    try:
        found: Matrix = await measure_matrix(desk.session, dtypes, compile, aside=desk.firing.paused)
    finally:
        screen.look()
    desk.say(f"mode matrix: {found.words or 'nothing can be recommended'}", "good" if found.pick >= 0 else "warning")


async def _cancel(desk: Desk) -> None:
    number = _job(desk)
    if number:
        await desk.session.cancel(number)


def _job(desk: Desk) -> int:
    return next((job.number for job in desk.state.jobs.values() if job.name == "MeasureMatrix"), 0)
