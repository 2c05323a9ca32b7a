"""The command of the memory account: what memory is used for, and the same runs under the other grad mode."""

from __future__ import annotations

from workbench.client.measures import account_memory, measure_counterfactual
from workbench.tui.desk import Desk

_LOOK = ("Progress", "Done", "WorkerDied")
"""Events after which the screen looks again."""

_MEASURES = ("AccountMemory", "MeasureCounterfactual")


async def account(desk: Desk) -> None:
    """Show it; the counterfactual follows in a worker of its own."""
    from workbench.tui.screens.account import AccountScreen

    def measure() -> None:
        if not _jobs(desk):
            desk.run(_measure)

    screen = AccountScreen(desk.state, measure, lambda: desk.run(_cancel))
    stop = desk.session.listen(lambda body, _: screen.look() if type(body).__name__ in _LOOK else None)
    try:
        measure()
        await desk.ask(screen)
    finally:
        stop()


async def _measure(desk: Desk) -> None:
    async with desk.firing.paused():
        await account_memory(desk.session)
    found = await measure_counterfactual(desk.session, aside=desk.firing.paused)
    desk.say(found.words)


async def _cancel(desk: Desk) -> None:
    for number in _jobs(desk):
        await desk.session.cancel(number)


def _jobs(desk: Desk) -> list[int]:
    return [job.number for job in desk.state.jobs.values() if job.name in _MEASURES]
