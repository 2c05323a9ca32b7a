"""Notices a worker that has a job and says nothing: busy in native code, or stopped."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from workbench.protocol.messages import WorkerBusy

from . import host

SILENT_AFTER = 2.0
"""Seconds without a beat; a worker sends one a second while a job is open and its Python can run."""

_INTERVAL = 0.5


class Liveness:
    """Watches while `busy`; `last_heard` gives the moment (`time.monotonic()`) of the worker's last message."""

    def __init__(
        self, role: str, pid: int, last_heard: Callable[[], float], tell: Callable[[WorkerBusy], None]
    ) -> None:
        self._role, self._pid = role, pid
        self._last_heard, self._tell = last_heard, tell
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._since = 0.0
        self._silent = False

    def busy(self, busy: bool) -> None:
        """A job has begun, or the last one has ended."""
        if busy and self._timer is None:
            self._since = time.monotonic()
            self._timer = self._loop.call_later(_INTERVAL, self._tick)
        elif not busy:
            self.stop()
            self._speaks()

    def stop(self) -> None:
        """Say nothing any more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _tick(self) -> None:
        self._timer = self._loop.call_later(_INTERVAL, self._tick)
        silence = time.monotonic() - max(self._last_heard(), self._since)
        if silence > SILENT_AFTER:
            self._silent = True
            state = "stopped" if host.stopped(self._pid) else "busy in native code"
            self._tell(WorkerBusy(self._role, round(silence, 1), state))
        else:
            self._speaks()

    def _speaks(self) -> None:
        if self._silent:
            self._silent = False
            self._tell(WorkerBusy(self._role, 0.0, "running"))
