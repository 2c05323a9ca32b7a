"""The job a handler works on: how it reports, and how it learns that nobody wants it any more."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from workbench.protocol.messages import Progress

PROGRESS_INTERVAL = 0.1
"""Seconds between two `Progress` events of one job, unless the phase changes."""


class Cancelled(Exception):
    """Raised inside a job that was cancelled, at a place where stopping is safe."""


class OutOfTime(Exception):
    """Raised inside `Job.within` when its seconds are over, at a place where stopping is safe."""


class Job:
    """One request being worked on. Handlers run on the worker's main thread; `cancel` comes from the reader thread."""

    def __init__(self, number: int | None, send: Callable[[Any, int | None], None]) -> None:
        self.number = number
        self._send = send
        self._cancelled = threading.Event()
        self._started = time.monotonic()
        self._after: list[Callable[[], None]] = []
        self._phase = ""
        self._last = 0.0
        self._until = float("inf")
        self.still: tuple[str, ...] = ()
        """Places of breakpoints at which it stood still, each once."""
        self.still_seconds = 0.0
        """How long, together."""
        self.passes_over = ""
        """Why breakpoints are passed over now; empty: they are not."""

    @property
    def cancelled(self) -> bool:
        return self._cancelled.is_set()

    @property
    def seconds(self) -> float:
        """Seconds since the job began."""
        return time.monotonic() - self._started

    def begin(self) -> None:
        """The work begins now: what it waited for in the queue is not its time."""
        self._started = time.monotonic()

    def cancel(self) -> None:
        self._cancelled.set()

    def stood_still(self, where: str, seconds: float) -> None:
        """It was held up at a breakpoint: what was timed or measured meanwhile is not the model's."""
        self.still_seconds += seconds
        if where not in self.still:
            self.still = (*self.still, where)

    @contextlib.contextmanager
    def passing_over(self, reason: str) -> Iterator[None]:
        """No breakpoint stops inside."""
        before, self.passes_over = self.passes_over, reason
        try:
            yield
        finally:
            self.passes_over = before

    @contextlib.contextmanager
    def within(self, seconds: float) -> Iterator[None]:
        """What is done inside raises `OutOfTime` where it could be cancelled, once it takes longer than this."""
        before, self._until = self._until, min(self._until, time.monotonic() + seconds)
        try:
            yield
        finally:
            self._until = before

    def raise_if_cancelled(self) -> None:
        """Raises `Cancelled` when the job was cancelled, `OutOfTime` when the time of `within` is over."""
        if self._cancelled.is_set():
            raise Cancelled
        if time.monotonic() > self._until:
            raise OutOfTime

    def emit(self, body: Any) -> None:
        """Send an event of this job now."""
        self._send(body, self.number)

    def announce(self, body: Any) -> None:
        """Send an event that belongs to no job: from any thread, also after this job's end."""
        self._send(body, None)

    def afterwards(self, work: Callable[[], None]) -> None:
        """Have `work` called on the main thread once this job's `Done` was sent; it must be quick and never raise."""
        self._after.append(work)

    def ended(self) -> None:
        """The `Done` was sent: do what was put off until now."""
        while self._after:
            self._after.pop(0)()

    def progress(self, phase: str, done: float = 0.0, total: float = 0.0) -> None:
        """Say what the job does; at most ten times a second unless the phase changes. Also a place to be cancelled."""
        self.raise_if_cancelled()
        now = time.monotonic()
        if phase == self._phase and now - self._last < PROGRESS_INTERVAL:
            return
        self._phase, self._last = phase, now
        self.emit(Progress(phase, done, total, now - self._started))
