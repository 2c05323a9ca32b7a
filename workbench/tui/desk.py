"""What a command may touch: the session, and the few things of the screen that answer it.

A command is an async function of a desk. The desk starts it, keeps it off the key loop, and turns every
failure into a card; it does no work itself.
"""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Awaitable, Callable, Iterable
from typing import TYPE_CHECKING, Any, TypeVar

from workbench.client.exports import ExportQueue
from workbench.client.state import State
from workbench.protocol.failures import Failure, WorkbenchError
from workbench.protocol.text import clean
from workbench.tui.actions import BY_ID, with_two_runs
from workbench.tui.activity import summary, switched
from workbench.tui.firing import Firing
from workbench.tui.transcript import Transcript
from workbench.tui.turns import Turns

if TYPE_CHECKING:
    from textual.screen import Screen

    from workbench.client.session import Session
    from workbench.protocol.model import ModeChange, Modes, Recipe
    from workbench.protocol.runs import Diff, Divergence
    from workbench.tui.app import WorkbenchApp

Command = Callable[["Desk"], Awaitable[None]]
Answer = TypeVar("Answer")


class Desk:
    """The commands' view of the app."""

    session: Session
    firing: Firing

    def __init__(self, app: WorkbenchApp, state: State) -> None:
        self.app = app
        self.state = state
        self._connected = asyncio.Event()
        self.turns = Turns()
        self.failures: list[Failure] = []
        """Every failure that was shown."""
        self.export_folder = "bundles"
        """Where exports are suggested to go."""
        self.exports = ExportQueue()
        """Exports that run or wait."""
        self.transcript = Transcript()
        """Of the console."""
        self.wanted: Recipe | None = None
        """The model that was last asked for, whether it opened or not."""
        self.former: Recipe | None = None
        """The model that was on the bench before weights were repaired."""
        self._asked: tuple[ModeChange | None, tuple[ModeChange, ...], float] = (None, (), 0.0)
        self._diffed: tuple[int, ...] = ()

    def connect(self, session: Session) -> None:
        """The engine can be talked to: commands that were asked for before begin now."""
        self.session = session
        self.firing = Firing(session, self.say)
        self._connected.set()

    @property
    def connected(self) -> bool:
        """Whether there is a session."""
        return self._connected.is_set()

    @property
    def python(self) -> str:
        """Interpreter of the workers; empty: this one."""
        return self.app.options.python

    # starting a command

    def do(self, action_id: str) -> None:
        """Start an action in the background, or say why it cannot be done now."""
        action = BY_ID[action_id]
        reason = action.when(self.state)
        if reason:
            self.say(f"{action.keys[0] if action.keys else ''} {action.label}: {reason}".strip(), "warning")
            return
        from workbench.tui.commands.table import begin

        begin(self, action_id)

    def run(self, command: Command) -> None:
        """Run a command as a task of its own."""
        self.app.run_worker(self._guarded(command), group="commands", exit_on_error=False)

    async def _guarded(self, command: Command) -> None:
        await self._connected.wait()
        try:
            await command(self)
        except WorkbenchError as problem:
            self.fail(problem.failure)
        except Exception as problem:  # noqa: BLE001 (a mistake in one command must not end the session)
            told = clean("".join(traceback.format_exception(problem)))
            self.fail(Failure("internal", f"{type(problem).__name__}: {clean(str(problem))}", details=told))
        finally:
            self.app.main.touch()

    # answers

    def say(self, words: str, severity: str = "information") -> None:
        """One line above the keys."""
        self.app.main.say(words, severity)

    def fail(self, failure: Failure) -> None:
        """Show a failure as a card; what the red line of a dead worker says already is not said twice."""
        if failure.kind == "cancelled":
            aborted = failure.message if failure.message.startswith("Aborted at") else "cancelled"
            self.say(aborted, "warning")
            return
        if failure.kind == "engine" and (failure == self.state.gone or self._died_said):
            return
        from workbench.tui.screens.error_card import ErrorCard

        self.failures.append(failure)
        self.app.main.say(failure.message, "error")
        self.app.push_screen(ErrorCard(failure, lambda: self.do("convert" if failure.convert else "repair")))

    @property
    def _died_said(self) -> bool:
        return self.state.engine == "dead" and self.state.died is not None

    async def ask(self, screen: Screen[Answer]) -> Answer:
        """Show a dialog and wait for its answer."""
        return await self.app.push_screen_wait(screen)

    def show_card(self, screen: Screen[Any]) -> None:
        """Show a dialog whose answer nobody waits for."""
        self.app.push_screen(screen)

    # what is selected

    @property
    def selected_run(self) -> int:
        """The run at the cursor, or the newest; 0 when there is none."""
        return self.app.main.selected_run or (max(self.state.rows) if self.state.rows else 0)

    @property
    def selected_module(self) -> str:
        """Path of the module at the cursor; "" is the root."""
        return self.app.main.selected_module

    def show_pane(self, pane: str, maximised: bool | None = None) -> None:
        """Bring a pane forward and focus it."""
        self.app.main.show_pane(pane, maximised)

    def show_module(self, path: str) -> None:
        """Put the cursor of the tree on a module, and go there."""
        self.app.main.model.select_path(path)
        self.show_pane("model")

    # verbs that several commands share

    async def open(
        self, recipe: Recipe, change: ModeChange | None = None, modules: Iterable[ModeChange] = (), tolerance: float = 0
    ) -> None:
        """Put a model on the bench, in these modes; the old one stays when this fails."""
        from workbench.client.flows import open_with
        from workbench.protocol.model import ModeChange
        from workbench.tui.trusting import with_yes

        self.wanted, self._asked = await with_yes(self, recipe), (change, tuple(modules), tolerance)
        await self.session.started()
        async with self.firing.paused():
            loaded = await open_with(self.session, self.wanted, change or ModeChange(), self._asked[1], tolerance)
        self.state.undo.clear()  # the modes that were asked for are where one starts from
        self.app.main.checks.clear()
        self._diffed = ()
        words = "; ".join(loaded.info.warnings) or f"loaded in {loaded.info.seconds:.1f} s"
        self.say(f"{loaded.info.name}: {words}. space fires it.", "good")

    async def open_again(self, recipe: Recipe) -> None:
        """Put a model on the bench in the modes that were last asked for."""
        await self.open(recipe, *self._asked)

    async def change(self, wish: ModeChange | Callable[[Modes], ModeChange]) -> None:
        """Turn switches, with a continuous fire held meanwhile; a `wish` that depends on how they stand is asked once
        the changes before it have been answered."""
        async with self.turns.taken(), self.firing.paused():
            if callable(wish):
                assert self.state.modes is not None  # keys that turn them want a model
                wish = wish(self.state.modes)
            now = await self.session.change(wish)
        self.say(now.note or switched(now.modes, wish))

    async def show_difference(self, run: int) -> Diff | None:
        """Fetch the difference of a run against the reference and put it into its pane; None when there is none."""
        against = self.state.reference
        if with_two_runs(self.state) or run == against or run not in self.state.rows:
            return None
        diff = await self.session.diff(run)
        self._diffed = (run, against, self.state.rows[run].count)
        self.app.main.show_diff(diff)
        return diff

    async def follow(self, run: int) -> None:
        """The cursor came to a run: its difference, unless it is the one that is shown, or would wait for a fire."""
        row = self.state.rows.get(run)
        if self.state.paused is not None or any(job.name == "Fire" for job in self.state.jobs.values()):
            return
        if row is None or row.running or self._diffed == (run, self.state.reference, row.count):
            return
        await self.show_difference(run)

    def show_divergence(self, divergence: Divergence) -> None:
        """Where two runs part, in the pane of the difference."""
        self.app.main.show_divergence(divergence)

    async def fired(self, run: int) -> None:
        """After every fire: what it came to, its difference, and where that helps eager's own noise."""
        row = self.state.rows.get(run)
        chosen = self.app.main.selected_run
        if chosen == self.state.reference:  # it has no difference of its own to stay with
            self.app.main.select_newest()
            chosen = 0
        if row is not None:
            self.say(*summary(row, chosen))
        if chosen not in (0, run):
            await self.follow(chosen)
            return
        diff = await self.show_difference(run)
        from workbench.client.flows import noise_would_help  # not wanted before the first run

        if diff is not None and not self.state.jobs and noise_would_help(self.session, self.state.rows[run]):
            self.run(measure_noise)


async def measure_noise(desk: Desk) -> None:
    """Measure eager's own error in a process of its own, and judge with it from now on."""
    epoch = desk.state.epoch
    yardstick = await desk.session.measure_noise(aside=desk.firing.paused)
    if desk.state.epoch != epoch:
        desk.say("the noise was measured of a model or a dtype that is gone; it is not used", "warning")
        return
    run = desk.selected_run
    row = desk.state.rows.get(run)
    words, severity = summary(row) if row is not None else ("eager's own noise is known now", "good")
    by = (
        "eager's own noise against float64" if yardstick.kind == "float64" else f"torch's tolerance: {yardstick.reason}"
    )
    desk.say(f"{words} · judged by {by}", severity)
    await desk.show_difference(run)
