"""Puts the session's state into the panes, part by part. Reads state and calls setters; decides nothing."""

from __future__ import annotations

import asyncio
import itertools
from typing import TYPE_CHECKING

from workbench.client.state import State
from workbench.tui import activity

if TYPE_CHECKING:
    from workbench.protocol.artifacts import ExportResult, VerifyResult
    from workbench.protocol.failures import Failure
    from workbench.protocol.memory import Leak, MemoryAccount
    from workbench.protocol.messages import WorkerDied
    from workbench.protocol.model import ModelInfo, Recipe
    from workbench.tui.main_screen import MainScreen
    from workbench.tui.wiring import Wiring

SAY_SECONDS = 3.0
"""How long words stay on the activity line before a job that runs takes it again."""


class Painter:
    """What was painted last, so that only what changed is handed to a pane."""

    def __init__(self, screen: MainScreen, wiring: Wiring) -> None:
        self.badges: set[str] = set()
        """Panes with something new that nobody has looked at."""
        self.newest = 0
        """Newest run in the pane."""
        self.exporting = ""
        """Kind of the export that runs."""
        self._screen, self._wiring = screen, wiring
        self._said, self._said_at = ("", "information"), float("-inf")
        self._said_of: WorkerDied | Failure | None = None  # words that are older than a death do not hide it
        self._info: ModelInfo | None = None
        self._leak: Leak | None = None
        self._account: MemoryAccount | None = None
        self._recipe: Recipe | None = None
        self._made: dict[str, ExportResult | VerifyResult] = {}

    @property
    def _state(self) -> State:
        return self._screen.desk.state

    @property
    def _death(self) -> WorkerDied | Failure | None:
        """The newest death of a worker or of the engine."""
        return self._state.gone or self._state.died

    def news(self, pane: str) -> None:
        """A pane has something new."""
        if self._screen.board.shown != pane:
            self.badges.add(pane)

    def say(self, words: str, severity: str) -> None:
        """Words for the activity line. A job that runs, or a worker that was dead already, gives them a moment."""
        loop = asyncio.get_running_loop()
        self._said, self._said_at = (words, severity), loop.time()
        self._said_of = self._death
        self._activity()
        if self._state.jobs or self._state.engine in ("dead", "gone"):
            loop.call_later(SAY_SECONDS, self._wiring.touch, "activity")

    def seen(self, pane: str) -> None:
        """A pane is looked at."""
        self.badges.discard(pane)

    def paint(self, parts: frozenset[str]) -> None:
        """Bring these parts up to date."""
        for part in ("model", "modes", "runs", "memory", "artifacts", "log", "status", "activity"):
            if part in parts:
                getattr(self, f"_{part}")()
        if "story" in parts:
            self._screen.story_changed()

    def _model(self) -> None:
        state, wiring = self._state, self._wiring
        if wiring.fresh:
            wiring.fresh = False
            self._screen.runs.clear()
            self.newest = 0
            self._screen.diff.clear()
            self._screen.memory.clear()
            if self._recipe != state.recipe:  # the same model after a restart keeps what was made of it
                self._screen.artifacts.clear()
                self._made.clear()
            self._recipe = state.recipe
        if state.info is None or state.modes is None or state.info is self._info:
            return
        self._info = state.info
        self._screen.model.show(state.info, state.modes)

    def _modes(self) -> None:
        state = self._state
        if state.info is not None and state.modes is not None:
            self._screen.model.set_modes(state.modes)
            self._screen.runs.set_modes(state.modes, state.info.batch)
            self._screen.checks.set_modes(state.modes.training_word, state.modes.grad)

    def _runs(self) -> None:
        rows, self._wiring.rows = self._wiring.rows, {}
        for number in sorted(rows):
            self._screen.runs.put(rows[number])
            self.newest = max(self.newest, number)
        newest = self._state.last_run
        if rows and newest is not None:
            self._screen.memory.set_run(newest)

    def _memory(self) -> None:
        pane, state = self._screen.memory, self._state
        samples, self._wiring.samples = self._wiring.samples, []
        if samples:
            from workbench.protocol.memory import MemorySample  # the first sample comes long after the first frame

            pane.set_running(self._wiring.active or any(job.name != "Start" for job in state.jobs.values()))
            self._wiring.active = False
            for one in samples:
                if isinstance(one, MemorySample):
                    pane.add_sample(one)
                else:
                    pane.add_mark(one)
        if state.account is not self._account:
            self._account = state.account
            pane.set_account(state.account)
        if state.leak is not self._leak:
            self._leak = state.leak
            pane.set_leak(state.leak)
            if state.leak is not None and state.leak.climbing:
                self.news("memory")

    def _artifacts(self) -> None:
        """Results that are new, and how far the export is that runs."""
        pane, state = self._screen.artifacts, self._state
        results: dict[str, ExportResult | VerifyResult] = {**state.exports, **state.verified}
        for name, result in results.items():
            if self._made.get(name) is not result:
                self._made[name] = result
                pane.finish(name, result)
                self.news("artifacts")
        for job in state.jobs.values():
            if job.name == "Export" and job.progress is not None and self.exporting:
                pane.progress(self.exporting, job.progress)

    def _log(self) -> None:
        lines, self._wiring.lines = self._wiring.lines, []
        for role, group in itertools.groupby(lines, key=lambda one: one[0]):
            self._screen.printed.add(role, [line for _, line in group])
        if lines:
            self.news("log")

    def _status(self) -> None:
        line, state = self._screen.status, self._state
        line.set_model(state.info, state.modes)
        if state.engine == "starting":
            line.set_engine("starting", "torch is loading", clock=True)
        elif state.engine == "ready" and any(job.name == "Load" for job in state.jobs.values()):
            line.set_engine("loading", "loading the model", clock=True)
        else:
            firing = state.engine == "ready" and any(job.name == "Fire" for job in state.jobs.values())
            word = "paused" if state.paused is not None else "busy" if firing else state.engine
            line.set_engine(word, {"gone": "engine gone", "busy": "firing"}.get(word, ""))
        line.set_rss(state.sample.rss if state.sample is not None and state.engine == "ready" else 0)

    def _activity(self) -> None:
        bar, state = self._screen.activity, self._state
        now = asyncio.get_running_loop().time()
        job = activity.working(state, now, self._wiring.busy)
        dead = activity.dead_line(state)
        fresh = now - self._said_at < SAY_SECONDS
        if job is not None and not fresh:
            bar.working(job.words, job.clock, job.share, job.hint)
        elif dead and job is None and not (fresh and self._said_of is self._death):
            bar.say(dead, "error")
        else:
            bar.say(*self._said)
