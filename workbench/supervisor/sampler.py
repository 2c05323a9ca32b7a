"""Memory of the bench worker, looked at from outside: often while it works, seldom and silently while it does not."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from workbench.protocol.memory import MemorySample

from . import host

IDLE_INTERVAL = 1.0
"""Seconds between two looks at a worker that does nothing."""

AFTERGLOW = 1.0
"""Seconds after a job in which sampling goes on at the live rate: freed memory goes back a little later."""

SILENCE = 64 << 10
"""Bytes by which the RSS of an idle worker must have moved to be worth a message."""


class Sampler:
    """Samples process `pid` until `stop`; `clock` gives the supervisor's seconds, `hertz` the live rate."""

    def __init__(
        self,
        role: str,
        pid: int,
        tell: Callable[[MemorySample], None],
        clock: Callable[[], float],
        hertz: Callable[[], float],
    ) -> None:
        self._role, self._pid = role, pid
        self._tell, self._clock, self._hertz = tell, clock, hertz
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._busy = False
        self._live_until = 0.0
        self._peak = 0
        self._told_rss = -SILENCE
        self._cpu: tuple[float, float] | None = None
        self._stopped = False
        self._tick()

    def busy(self, busy: bool) -> None:
        """A job has begun, or the last one has ended."""
        if self._stopped or busy == self._busy:
            return
        self._busy = busy
        if not busy:
            self._live_until = time.monotonic() + AFTERGLOW
        self._tick()

    def stop(self) -> None:
        """The process is gone, or nobody wants to know."""
        self._stopped = True
        if self._timer is not None:
            self._timer.cancel()

    def _tick(self) -> None:
        if self._stopped:
            return
        if self._timer is not None:
            self._timer.cancel()
        live = self._busy or time.monotonic() < self._live_until
        self._look(live)
        self._timer = self._loop.call_later(1.0 / self._hertz() if live else IDLE_INTERVAL, self._tick)

    def _look(self, live: bool) -> None:
        seen = host.usage(self._pid)
        if seen is None:
            return
        now = time.monotonic()
        share = 0.0
        if self._cpu is not None and now > self._cpu[0]:
            share = max(0.0, (seen.cpu_seconds - self._cpu[1]) / (now - self._cpu[0]))
        self._cpu = (now, seen.cpu_seconds)
        self._peak = max(self._peak, seen.peak)
        if live or abs(seen.rss - self._told_rss) >= SILENCE:
            self._told_rss = seen.rss
            self._tell(MemorySample(self._clock(), self._role, seen.rss, seen.anonymous, self._peak, round(share, 2)))
