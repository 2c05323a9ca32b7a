"""Whose turn it is to turn switches: keys that come in one burst mean what they mean after the keys before them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from workbench.protocol.failures import error


class Turns:
    """One at a time, in the order in which they were asked for."""

    def __init__(self) -> None:
        self._lock = asyncio.Lock()
        self._cancels = 0

    @contextlib.asynccontextmanager
    async def taken(self) -> AsyncIterator[None]:
        """Wait for the turn, and have it. Raises `WorkbenchError("cancelled")` when `cancel` came meanwhile."""
        cancels = self._cancels
        async with self._lock:
            if cancels != self._cancels:
                raise error("cancelled", "Cancelled before it began.")
            yield

    async def over(self) -> None:
        """Wait for the turns that were asked for before. Raises as `taken` does."""
        async with self.taken():
            pass

    def cancel(self) -> None:
        """Whoever waits now gets no turn."""
        self._cancels += self._lock.locked()
