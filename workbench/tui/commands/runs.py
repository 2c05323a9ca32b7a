"""Commands on runs: fire, repeat, new inputs, reference, difference, cause, errors."""

from __future__ import annotations

from workbench.protocol.cause import ErrorTable
from workbench.protocol.model import Recipe
from workbench.protocol.runs import RunRow
from workbench.tui.actions import with_two_runs
from workbench.tui.desk import Desk
from workbench.tui.screens.ask import AskText, whole_number

REPEAT = "100"
"""Offered when a repeat is asked for."""


async def fire(desk: Desk) -> None:
    await desk.turns.over()
    await _then(desk, await desk.firing.once())


async def inputs(desk: Desk) -> None:
    await desk.turns.over()
    await _then(desk, await desk.firing.once(new_inputs=True))


async def edit_inputs(desk: Desk) -> None:
    """Other inputs, and one run on them."""
    from workbench.client.command import command_for
    from workbench.client.inputs import set_inputs, undo_inputs
    from workbench.tui.screens.inputs import InputsScreen

    recipe, info = desk.state.recipe, desk.state.info
    assert recipe is not None  # the key wants a model
    assert info is not None

    async def apply(wanted: Recipe) -> None:
        async with desk.firing.paused():
            await set_inputs(desk.session, wanted)

    async def undo() -> bool:
        async with desk.firing.paused():
            return await undo_inputs(desk.session) is not None

    screen = InputsScreen(recipe, info.inputs, lambda one: command_for(one, desk.state.modes), apply, undo)
    if await desk.ask(screen):
        desk.app.main.checks.clear()
        await _then(desk, await desk.firing.once())


async def repeat(desk: Desk) -> None:
    answer = await desk.ask(AskText("Repeat", "How many runs, as one row with median, p90 and p99?", REPEAT, _no_count))
    if answer is not None:
        await _then(desk, await desk.firing.many(int(answer)))


async def continuous(desk: Desk) -> None:
    await desk.turns.over()
    await _then(desk, await desk.firing.on())


async def reference(desk: Desk) -> None:
    run = desk.selected_run
    async with desk.firing.paused():
        await desk.session.set_reference(run)
    desk.say(f"every run is now compared with #{run}", "good")


async def diff(desk: Desk) -> None:
    run = desk.selected_run
    if run == desk.state.reference:
        desk.say(f"#{run} is the reference itself; choose another run in pane 2", "warning")
        return
    async with desk.firing.paused():
        await desk.show_difference(run)
    desk.show_pane("diff", maximised=True)


async def diverge(desk: Desk) -> None:
    run = desk.selected_run
    if run == desk.state.reference:
        desk.say(f"#{run} is the reference itself; choose another run in pane 2", "warning")
        return
    async with desk.firing.paused():
        found = await desk.session.divergence(run)
    desk.show_divergence(found)
    desk.show_pane("diff")
    remedy = f" {found.remedy}" if found.remedy else ""
    desk.say(f"{found.words}{remedy}", "information" if found.module else "good")


async def errors(desk: Desk) -> None:
    """Of two models that were compared, in their pane; of the selected run anywhere else."""
    main = desk.app.main
    found = main.diff.comparison if main.focused is main.diff else None
    if found is not None:
        if found.errors is None:
            words = found.errors_left_out or "only where B's answers have A's form and are beyond the noise"
            desk.say(f"no table of errors for this comparison: {words}", "warning")
            return
        await _walk(desk, found.errors)
        return
    if reason := with_two_runs(desk.state):
        desk.say(reason, "warning")
        return
    run = desk.selected_run
    if run == desk.state.reference:
        desk.say(f"#{run} is the reference itself; choose another run in pane 2", "warning")
        return
    from workbench.client import causes

    async with desk.firing.paused():
        table = await causes.errors(desk.session, run)
    desk.say(table.words, "information" if table.starts >= 0 else "good")
    await _walk(desk, table)


async def _walk(desk: Desk, table: ErrorTable) -> None:
    from workbench.tui.screens.errors import ErrorsScreen

    path = await desk.ask(ErrorsScreen(table))
    if path is not None:
        desk.show_module(path)


async def _then(desk: Desk, row: RunRow | None) -> None:
    if row is None:
        return
    await desk.fired(row.run)


def _no_count(text: str) -> str:
    return "A whole number from 1 to a thousand million." if whole_number(text, 1, 10**9) is None else ""
