"""The terminal app: one engine, one session, one screen. Owns their life from start to end, and nothing in between."""

from __future__ import annotations

import asyncio
import gc
import subprocess
import traceback
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, ClassVar, Protocol, runtime_checkable

from textual import events
from textual.app import App
from textual.binding import Binding, BindingType
from textual.filter import LineFilter
from textual.screen import Screen

from workbench.client.launch import launch
from workbench.client.state import State
from workbench.protocol.exits import Exit
from workbench.protocol.failures import error
from workbench.protocol.model import ModeChange, Recipe
from workbench.protocol.text import clean
from workbench.tui.ascii import AsciiOnly
from workbench.tui.desk import Desk
from workbench.tui.ending import Ending
from workbench.tui.guard import ControlGuard
from workbench.tui.keyboard import Keyboard
from workbench.tui.main_screen import MainScreen
from workbench.tui.options import AppOptions, suited_theme

if TYPE_CHECKING:
    from workbench.client.session import Session

Connect = Callable[[State], "Session"]
"""Makes the session of an engine, around the state that is on the screen already."""


@runtime_checkable
class TakesInterrupt(Protocol):
    """A screen for which Ctrl+C may mean something else."""

    def interrupt(self) -> bool:
        """Whether that was all it meant."""


THEMES = {"dark": "textual-dark", "light": "textual-light", "ansi": "ansi-dark"}


def run(process: subprocess.Popen[bytes], recipe: Recipe | None, change: ModeChange, options: AppOptions) -> int:
    """Run the app on an engine that `launch(bench=True)` started; the exit code when everything has ended.

    `recipe` is opened as soon as the worker is ready; without one the open screen comes up.
    Raises `WorkbenchError("internal")` when the app itself crashed, with the terminal restored and the engine gone.
    """
    ending = Ending(process)
    with ending.guard():
        app = asyncio.run(_live(process, recipe, change, options, ending))
    if app.crash is not None:
        told = clean("".join(traceback.format_exception(app.crash)))
        raise error("internal", f"The app crashed: {type(app.crash).__name__}: {clean(str(app.crash))}", details=told)
    return app.return_code or Exit.OK


async def _live(
    process: subprocess.Popen[bytes], recipe: Recipe | None, change: ModeChange, options: AppOptions, ending: Ending
) -> WorkbenchApp:
    """The app until it ends; then, with the terminal restored already, the engine's end."""

    def relaunch() -> subprocess.Popen[bytes]:
        ending.process = launch(python=options.python)
        return ending.process

    def connect(state: State) -> Session:
        from workbench.client.session import Session  # and the whole protocol with it: the first frame comes before

        gc.freeze()  # what the start has made stays to the end, so no collection has to look at it while keys wait
        gc.enable()
        session = Session(process, warm=True, state=state, python=options.python, attended=not options.autoplay)
        session.relaunch = relaunch
        return session

    app = WorkbenchApp(State(), connect, recipe, change, options)
    loop = asyncio.get_running_loop()

    def leave(code: int) -> None:
        loop.call_soon_threadsafe(lambda: app.exit(return_code=code))

    ending.leave = leave
    try:
        await app.run_async()
    finally:
        ending.restore()
        if app.desk.connected:
            await app.desk.session.close()
    return app


class WorkbenchApp(App[None]):
    """Keys, theme and life; what the keys do is the desk's."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+c", "interrupt", "cancel or leave", show=False, priority=True, system=True),
        Binding("ctrl+q", "leave", "quit", show=False, priority=True, system=True),
    ]

    ENABLE_COMMAND_PALETTE = False
    ESCAPE_TO_MINIMIZE = False
    TITLE = "workbench"

    def __init__(
        self, state: State, connect: Connect, recipe: Recipe | None, change: ModeChange, options: AppOptions
    ) -> None:
        super().__init__()
        self.options = options
        self.unicode = self.options.unicode
        self.crash: Exception | None = None
        """What ended the app against its will."""
        self.desk = Desk(self, state)
        self.main = self._screen()
        self.animation_level = "none"
        self.theme = THEMES[suited_theme(self.options.theme)]
        self._connect, self._recipe, self._change = connect, recipe, change
        self._guards: tuple[LineFilter, ...] = (ControlGuard(),) if self.unicode else (ControlGuard(), AsciiOnly())
        self._cancelled: set[int] = set()
        self._keyboard = Keyboard(self, super().on_event)

    def _screen(self) -> MainScreen:
        if not self.options.demo:
            return MainScreen(self.desk)
        from workbench.tui.demo.story_screen import StoryScreen

        return StoryScreen(self.desk)

    def get_default_screen(self) -> Screen[object]:
        return self.main  # type: ignore[return-value]

    def get_line_filters(self) -> Sequence[LineFilter]:
        return [*super().get_line_filters(), *self._guards]

    async def on_event(self, event: events.Event) -> None:
        if isinstance(event, events.Key) and not event.is_forwarded and self._keyboard.keeps(event):
            return
        await super().on_event(event)

    def on_mount(self) -> None:
        self.main.call_after_refresh(self._begin)

    async def _begin(self) -> None:
        """With the first frame on the screen: talk to the engine, which has been starting meanwhile."""
        session = self._connect(self.desk.state)
        session.listen(self.main.wiring.take)
        await session.attach()
        self.desk.connect(session)
        from workbench.tui.commands.inside import watch

        watch(self.desk)
        if self.options.slow_link:
            self.desk.run(slow_down)
        if self.options.demo:
            return  # its screen opens what the story wants
        if self._recipe is not None:
            self.desk.run(self._open_given)
        else:
            self.desk.do("open")

    async def _open_given(self, desk: Desk) -> None:
        """The model of the command line, in its modes."""
        assert self._recipe is not None
        await desk.open(self._recipe, self._change, self.options.modules, self.options.tolerance)

    def next_theme(self) -> str:
        """Go on to the next set of colours; its name."""
        names = list(THEMES)
        now = next((name for name, theme in THEMES.items() if theme == self.theme), "dark")
        chosen = names[(names.index(now) + 1) % len(names)]
        self.theme = THEMES[chosen]
        return chosen

    def action_interrupt(self) -> None:
        """Ctrl+C: what was typed at a console goes first; else the first cancels what runs, the next one leaves."""
        if isinstance(self.screen, TakesInterrupt) and self.screen.interrupt():
            return
        open_jobs = {job.number for job in self.desk.state.jobs.values() if job.name not in ("Start", "Kill")}
        if open_jobs - self._cancelled:
            self._cancelled |= open_jobs
            self.desk.do("cancel")
            self.main.say("cancelling; ctrl+c again leaves", "warning")
        else:
            self.exit(return_code=Exit.INTERRUPTED)

    def action_leave(self) -> None:
        self.exit(return_code=Exit.OK)

    def _handle_exception(self, error: Exception) -> None:
        self.crash = error
        super()._handle_exception(error)

    def _fatal_error(self) -> None:
        """End without Textual's own report: `run` raises, and the command line says it in its words."""
        self._close_messages_no_wait()


async def slow_down(desk: Desk) -> None:
    """Ask a new engine for no more than is painted."""
    from workbench.protocol.messages import SetRate

    await desk.session.request(SetRate(1.0 / desk.app.options.repaint_seconds))
