"""Plays the story: sets the stage, waits until there is something to judge, judges it, goes on.

By hand the person presses the keys; by itself the demo presses them and leaves when it is through.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable

from workbench.protocol.exits import Exit
from workbench.protocol.failures import WorkbenchError
from workbench.tui.desk import Desk
from workbench.tui.keymap import textual_key

from .panel import StoryPanel
from .quiz_card import QuizCard
from .scene import Claim, Scene, Step
from .steps import STEPS

LIMIT = 180.0
"""Seconds that a step may take when the demo plays by itself."""


class Story:
    """One telling of `STEPS`."""

    def __init__(self, desk: Desk, panel: StoryPanel, autoplay: bool, pace: float = 1.0) -> None:
        """`pace` scales the pauses for reading; 0 leaves them out."""
        self._desk, self._panel, self._autoplay = desk, panel, autoplay
        self._key_pause, self._read_pause = 0.5 * pace, 2.5 * pace
        self._changed = asyncio.Event()
        self._onward = asyncio.Event()
        self.claims: list[Claim] = []

    def look(self) -> None:
        """Something may have changed."""
        self._changed.set()

    def go_on(self) -> None:
        """Enter was pressed."""
        self._onward.set()

    async def play(self, desk: Desk) -> None:
        """From the first step to the last; a command of the desk."""
        await desk.session.started()
        with tempfile.TemporaryDirectory(prefix="workbench-demo-") as scratch:
            for number, step in enumerate(STEPS, 1):
                await self._play_step(step, Scene(desk, scratch), f"{number} of {len(STEPS)} · {step.title}")
        await self._end()

    async def _play_step(self, step: Step, scene: Scene, title: str) -> None:
        self._panel.tell(title, step.words, step.ask)
        try:
            async with asyncio.timeout(LIMIT if self._autoplay else None):
                claim = await self._reach(step, scene)
        except WorkbenchError as problem:
            claim = Claim(False, problem.failure.message)
        except TimeoutError:
            claim = Claim(False, f"It did not become true within {LIMIT:.0f} s.")
        self.claims.append(claim)
        self._panel.judge(claim, "" if self._autoplay else "enter goes on")
        await self._read()

    async def _reach(self, step: Step, scene: Scene) -> Claim:
        """Set the stage, and wait until the step's condition is true."""
        if step.prepare is not None:
            await step.prepare(scene)
        self._desk.show_pane(step.pane)
        scene.since = max(scene.state.rows, default=0)
        scene.failures = len(self._desk.failures)
        pressing = asyncio.ensure_future(self._press(step)) if self._autoplay else None
        try:
            if step.quiz is not None:
                answer = await self._desk.ask(QuizCard(step.quiz))
                scene.answer = answer or ""
            if step.after_quiz is not None:
                await step.after_quiz(scene)
            await self._until(lambda: step.reached(scene) or (self._autoplay and scene.failure is not None))
        finally:
            if pressing is not None:
                pressing.cancel()
        if not step.reached(scene) and scene.failure is not None:
            raise WorkbenchError(scene.failure)
        return step.claim(scene)

    async def _press(self, step: Step) -> None:
        """Press the step's keys, each when the one before has had its effect."""
        for key in (step.quiz.right,) if step.quiz is not None else step.keys:
            await asyncio.sleep(self._key_pause)
            await self._until(lambda: not self._desk.state.jobs)
            self._desk.app.simulate_key(textual_key(key))
            await asyncio.sleep(0.05)  # the key is handled by the app's own task

    async def _until(self, holds: Callable[[], bool]) -> None:
        while not holds():
            self._changed.clear()
            await self._changed.wait()

    async def _read(self) -> None:
        """Time for the claim: until enter, or a pause. A card that is still open is closed for the next step."""
        if self._autoplay:
            await asyncio.sleep(self._read_pause)
            if self._desk.app.screen is not self._desk.app.main:
                self._desk.app.simulate_key("escape")
                await asyncio.sleep(0.05)
            return
        self._onward.clear()
        await self._onward.wait()

    async def _end(self) -> None:
        held = sum(claim.held for claim in self.claims)
        words = f"{held} of {len(self.claims)} steps held. Your own model: o, or `workbench model.py:Net` in a shell."
        self._panel.tell("the end", words, "" if self._autoplay else "q leaves; every key works as before.")
        self._desk.say(
            f"the demo is over: {held} of {len(self.claims)} held", "good" if held == len(self.claims) else "error"
        )
        if self._autoplay:
            await asyncio.sleep(self._read_pause)
            self._desk.app.exit(return_code=Exit.OK if held == len(self.claims) else Exit.VERDICT_NO)
