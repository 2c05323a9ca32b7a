"""Fire once, many times, or until stopped: how many wait, and how a continuous fire steps aside for a mode change."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING

from workbench.protocol.failures import WorkbenchError

if TYPE_CHECKING:
    from workbench.client.session import Session
    from workbench.protocol.runs import RunRow

WAITING_LIMIT = 20
"""Single fires that may wait for a slow one: more keys than that are a held space bar."""


class Firing:
    """The fires of one session."""

    def __init__(self, session: Session, say: Callable[[str, str], None]) -> None:
        self._session = session
        self._say = say
        self._waiting = 0
        self._endless: asyncio.Task[RunRow] | None = None
        self._aside = asyncio.Event()
        self._aside.set()
        self._holders = 0
        self._on = False

    @property
    def endless(self) -> bool:
        """Whether a continuous fire is on."""
        return self._on

    async def once(self, new_inputs: bool = False) -> RunRow | None:
        """One run; None when too many wait already, and for all but the last of those that wait."""
        if self.endless:
            self._say("it fires on already; esc stops it", "warning")
            return None
        if self._waiting >= WAITING_LIMIT:
            self._say(f"{self._waiting} runs are waiting already; esc cancels", "warning")
            return None
        return await self._fire(1, new_inputs)

    async def many(self, count: int) -> RunRow | None:
        """One row of `count` runs; None while a continuous fire is on, behind which it would wait for ever."""
        if self.endless:
            self._say("it fires on already; esc stops it, then r repeats", "warning")
            return None
        return await self._fire(count, False)

    async def _fire(self, count: int, new_inputs: bool) -> RunRow | None:
        self._waiting += 1
        try:
            row = await self._session.fire(count, new_inputs)
        finally:
            self._waiting -= 1
        return None if self._waiting else row

    async def on(self) -> RunRow | None:
        """Fire until it is cancelled; held while `paused`, then begun again as a row of its own.

        None: it was on already, or was cancelled before its first run had ended.
        """
        if self._on:
            return None
        self._on = True
        try:
            while True:
                await self._aside.wait()
                task = self._endless = asyncio.ensure_future(self._session.fire(0))
                try:
                    await asyncio.wait({task})
                finally:
                    self._endless = None
                    task.cancel()  # nothing to a task that has ended: else nobody waits for it any more
                if not task.cancelled():
                    return _row(task)
        finally:
            self._on = False

    @contextlib.asynccontextmanager
    async def paused(self) -> AsyncIterator[None]:
        """Hold a continuous fire meanwhile, so that what is asked of the bench does not wait for its end."""
        self._holders += 1
        self._aside.clear()
        try:
            if (task := self._endless) is not None:
                task.cancel()  # and with it its job, if it has one yet
                await asyncio.wait({task})
            yield
        finally:
            self._holders -= 1
            if not self._holders:
                self._aside.set()


def _row(task: asyncio.Task[RunRow]) -> RunRow | None:
    try:
        return task.result()
    except WorkbenchError as problem:
        if problem.failure.kind != "cancelled":
            raise
        return None
