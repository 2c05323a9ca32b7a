"""Keys that come in one burst mean in a dialog what they would mean one at a time.

Textual hands a key to the field that has the focus when it arrives, and acts on tab and enter only once they have
bubbled up to the app: letters that were typed after a tab have reached the former field by then. Here a key that comes
while another is on its way waits until that one has arrived everywhere. Owns the waiting keys, and no meaning of one.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from textual import events
from textual.message_pump import MessagePump

from workbench.tui.screens.dialog import Dialog

if TYPE_CHECKING:
    from textual.app import App

URGENT = ("ctrl+c", "ctrl+q")
"""Keys that never wait."""
ROUNDS = 2
"""A key that reaches the app makes a message, enter's "submitted", which goes the same way once more."""
LOOK = 0.02
"""Seconds between two looks at whether a card is still at work, while keys wait for it."""
PATIENCE = 0.5
"""Seconds after which a key goes on although the one before has not arrived: its handler is at something long."""


class Keyboard:
    """The keys of one app that wait for each other."""

    def __init__(self, app: App[Any], dispatch: Callable[[events.Event], Awaitable[None]]) -> None:
        """`dispatch` is what becomes of a key whose turn it is."""
        self._app, self._dispatch = app, dispatch
        self._waiting: deque[events.Key] = deque()
        self._pumping = False

    def keeps(self, event: events.Key) -> bool:
        """Whether the key has to wait, and comes by itself later; where not, the caller hands it on now."""
        if event.key in URGENT or not (self._pumping or isinstance(self._app.screen, Dialog)):
            return False
        if event.key == "escape" and self._held:
            self._waiting.clear()  # they were typed for after the work that is called off now
            return False
        waits = self._pumping or self._held
        if waits:
            self._waiting.append(event)
        if not self._pumping:
            self._pumping = True
            self._app.run_worker(self._pump(), group="keys")
        return waits

    @property
    def _held(self) -> bool:
        """The card on top is at work; whatever is shown above it has keys again."""
        screen = self._app.screen
        return isinstance(screen, Dialog) and screen.at_work

    async def _pump(self) -> None:
        try:
            await self._arrived()
            while self._waiting:
                if self._held:
                    await asyncio.sleep(LOOK)
                    continue
                await self._dispatch(self._waiting.popleft())
                await self._arrived()
        finally:
            self._pumping = False

    async def _arrived(self) -> None:
        """Everything that was on its way from the focus to the app has been answered."""
        screen = self._app.screen
        way: list[MessagePump] = [*(self._app.focused or screen).ancestors_with_self, self._app]
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE):
                for node in way * ROUNDS:
                    answered = asyncio.Event()
                    if node.call_later(answered.set):
                        await answered.wait()
