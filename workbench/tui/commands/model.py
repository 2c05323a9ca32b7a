"""Commands on the model itself: open, reload, copy as a command, measure its noise."""

from __future__ import annotations

import dataclasses
import os

from workbench.client.command import command_for
from workbench.protocol.artifacts import Inspection
from workbench.protocol.failures import error
from workbench.protocol.messages import Inspect
from workbench.tui.desk import Desk, measure_noise
from workbench.tui.screens.text_card import TextCard

noise = measure_noise


async def open_model(desk: Desk) -> None:
    from workbench.tui.screens.open_screen import OpenScreen

    async def look(path: str) -> Inspection:
        found: Inspection = await desk.session.request(Inspect(path, digest=False))
        return found

    await desk.ask(OpenScreen(desk.session.scan, look, desk.open, os.getcwd(), desk.wanted))


async def repair(desk: Desk) -> None:
    """Open what was last asked for with its weights' names repaired; what is on the bench can be had back."""
    offered = next((one.repair for one in reversed(desk.failures) if one.repair), "")
    if desk.wanted is None or not offered:
        raise error("usage", "No weights that could be repaired were refused.", remedy="o opens a model.")
    before = desk.state.recipe or dataclasses.replace(desk.wanted, weights="")
    await desk.open_again(dataclasses.replace(desk.wanted, repair=offered))
    desk.former = before


async def unrepair(desk: Desk) -> None:
    """Back to what was on the bench before the repair; where nothing was, to the model as it is constructed."""
    if desk.former is None:
        raise error("usage", "No repair was made that could be taken back.", remedy="o opens another model.")
    recipe, desk.former = desk.former, None
    await desk.open_again(recipe)


async def reload(desk: Desk) -> None:
    """The edited source again; where something was fired, once more against the reference."""
    async with desk.firing.paused():
        loaded = await desk.session.reload()
    desk.app.main.checks.clear()
    desk.say(f"read {loaded.info.source or loaded.info.target} again in {loaded.info.seconds:.1f} s", "good")
    if desk.state.rows:
        row = await desk.firing.once()
        if row is not None:
            await desk.fired(row.run)


async def copy(desk: Desk) -> None:
    recipe = desk.state.recipe
    assert recipe is not None
    row = desk.state.rows.get(desk.selected_run)
    tolerance = desk.app.options.tolerance
    command = command_for(recipe, desk.state.modes, row.count if row is not None else 0, tolerance, desk.python)
    desk.app.copy_to_clipboard(command)
    told = [("gap", "This reproduces what is on the screen, with numbers instead of panes:"), ("gap strong", command)]
    told.append(("gap dim", "It is on the clipboard, if your terminal allows that (OSC 52)."))
    desk.show_card(TextCard("As a command", told, copy=command))
