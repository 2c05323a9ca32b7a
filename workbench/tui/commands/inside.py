"""Commands that look inside: one module's screen, the console, and what happens when a run stands still."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from workbench.protocol.failures import WorkbenchError
from workbench.tui.actions import with_console, with_model
from workbench.tui.desk import Desk
from workbench.tui.transcript import Transcript

if TYPE_CHECKING:
    from workbench.protocol.inside import Evaluated, Inside
    from workbench.tui.screens.console import ConsoleScreen
    from workbench.tui.screens.inside import InsideScreen

GREETING = "model, x, y, act['path'], torch, nn, F and _ are there; what is changed is real."


def watch(desk: Desk) -> None:
    """Open the console when a run stands still, and tell it what happens to the worker."""
    said = desk.transcript

    def heard(body: Any, envelope: Any) -> None:
        match type(body).__name__:
            case "Paused":
                said.add(f"paused at {body.text}", "accent")
                desk.run(_stand_still)
            case "Resumed":
                said.add("it goes on", "dim")
                _close_by_itself(desk)
            case "WorkerDied" if said.lines:
                said.add(f"the worker is gone: {body.cause}", "bad")
                said.add("esc, then K starts a fresh one with the same model; names made here are gone", "dim")
            case "WorkerReady" if said.lines:
                said.add("a fresh worker: names made here before are gone", "dim")
            case "Done" | "Progress":
                said.touch()

    desk.session.listen(heard)


async def show_console(desk: Desk) -> None:
    """The console, on the bench or at the run that stands still."""
    _open_console(desk, by_itself=False)


async def _stand_still(desk: Desk) -> None:
    if desk.state.paused is not None:
        _open_console(desk, by_itself=True)


def _open_console(desk: Desk, by_itself: bool) -> None:
    if _console_of(desk) is not None:
        return
    from workbench.tui.screens.console import ConsoleScreen

    said = desk.transcript
    if not said.lines:
        names = ", ".join(one.name for one in desk.state.info.inputs if one.name) if desk.state.info else ""
        said.add(GREETING + (f" Inputs: {names}." if names else ""), "dim")
    screen = ConsoleScreen(
        said,
        desk.state,
        lambda text: desk.run(lambda desk: _line(desk, text)),
        lambda line, then: desk.run(lambda desk: _complete(desk, line, then)),
        lambda: desk.do("cancel"),
        desk.app.unicode,
    )
    screen.by_itself = by_itself
    desk.show_card(screen)


def _console_of(desk: Desk) -> ConsoleScreen | None:
    """The console that is open."""
    from workbench.tui.screens.console import ConsoleScreen

    return next((screen for screen in desk.app.screen_stack if isinstance(screen, ConsoleScreen)), None)


def _close_by_itself(desk: Desk) -> None:
    """A console that came with a pause goes with it, when nothing lies over it."""
    console = _console_of(desk)
    if console is not None and console.by_itself and desk.app.screen is console:
        console.dismiss(None)


async def _line(desk: Desk, text: str) -> None:
    """Run one entry and put what it came to into the transcript."""
    said = desk.transcript
    reason = with_console(desk.state)
    if reason:
        said.add(reason, "warn")
        return
    from workbench.client.inside import evaluate

    try:
        if desk.state.paused is not None:
            came = await evaluate(desk.session, text)
        else:
            async with desk.firing.paused():
                came = await evaluate(desk.session, text)
    except WorkbenchError as problem:
        failure = problem.failure
        if failure.kind != "engine":  # a death says so itself
            said.add(failure.message, "warn" if failure.kind == "cancelled" else "bad")
        return
    finally:
        said.touch()
    _tell(said, came)


def _tell(said: Transcript, came: Evaluated) -> None:
    said.add(came.output)
    said.add(came.error, "bad")
    if came.changed:
        said.add("changed: " + ", ".join(came.changed), "warn")
    said.add(came.note, "warn")


async def _complete(desk: Desk, line: str, then: Callable[[int, tuple[str, ...]], None]) -> None:
    """Ask the worker how a line could go on, unless it is at work."""
    from workbench.client.inside import complete

    if with_console(desk.state) or (desk.state.jobs and desk.state.paused is None):
        return
    try:
        found = await complete(desk.session, line)
    except WorkbenchError as problem:
        desk.transcript.add(problem.failure.message, "warn")
        return
    then(found.start, found.words)


async def show_inside(desk: Desk) -> None:
    """The screen of the selected module."""
    info = desk.state.info
    if info is None:
        return
    from workbench.tui.screens.inside import InsideScreen

    async def look(screen: InsideScreen, path: str) -> Inside | None:
        reason = with_model(desk.state)
        if reason:
            screen.fail(reason)
            return None
        from workbench.client.inside import look_inside

        try:
            async with desk.firing.paused():
                return await look_inside(desk.session, path)
        except WorkbenchError as problem:
            failure = problem.failure
            screen.fail(f"{failure.message} {failure.remedy}".strip())
            return None

    screen = InsideScreen(info, desk.selected_module, look, lambda: desk.do("console"), desk.app.unicode)
    await desk.ask(screen)
    desk.app.main.model.select_path(screen.path)
