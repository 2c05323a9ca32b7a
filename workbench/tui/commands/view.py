"""Commands on the view and on the workbench itself: panes, theme, help, palette, cancel, restart, quit."""

from __future__ import annotations

from collections.abc import Callable

from workbench.protocol.exits import Exit
from workbench.tui.board import PANES
from workbench.tui.desk import Desk


def pane(name: str) -> Callable[[Desk], None]:
    """What goes to one pane."""

    def go(desk: Desk) -> None:
        desk.show_pane(name)

    return go


PANE_COMMANDS: dict[str, Callable[[Desk], None]] = {f"pane_{name}": pane(name) for name in PANES}


def maximise(desk: Desk) -> None:
    desk.app.main.toggle_maximised()


async def theme(desk: Desk) -> None:
    desk.say(f"colours: {desk.app.next_theme()}")


async def restart(desk: Desk) -> None:
    """Alive: end the worker. Dead, or the engine gone: a fresh one with everything that can be given back."""
    state = desk.state
    if state.engine == "starting":
        desk.say("the worker is only starting", "warning")
        return
    if state.engine == "ready":
        await desk.session.kill()
        desk.say("the worker was ended; K starts a fresh one with the same model", "warning")
        return
    runs, what = len(state.rows), "engine" if state.engine == "gone" else "worker"
    loaded = await desk.session.recover(desk.python)
    if what == "engine" and desk.app.options.slow_link:
        from workbench.tui.app import slow_down

        desk.run(slow_down)
    if loaded is None:
        desk.say(f"a fresh {what} is ready; no model was open", "good")
        return
    back = "the same model, weights, modes and first inputs are back"
    lost = f"outputs of {runs} runs, draws with n, what runs changed in buffers" if runs else "nothing"
    desk.say(f"{back}; lost: {lost}", "good")


async def cancel(desk: Desk) -> None:
    """What runs; with nothing, a maximised pane goes back."""
    desk.turns.cancel()
    if await desk.session.cancel():
        desk.say("cancelling …", "warning")
    elif desk.app.main.maximised:
        desk.app.main.toggle_maximised()
    else:
        desk.say("nothing is running")


async def palette(desk: Desk) -> None:
    from workbench.tui.screens.palette import Palette

    chosen = await desk.ask(Palette(desk.state))
    if chosen is not None:
        desk.do(chosen)


async def show_help(desk: Desk) -> None:
    from workbench.tui.screens.help_screen import help_card

    desk.show_card(help_card())


async def leave(desk: Desk) -> None:
    desk.app.exit(return_code=Exit.OK)
