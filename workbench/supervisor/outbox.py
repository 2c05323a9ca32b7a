"""What is on its way to the face: a bounded queue in which newer events take the place of older ones.

Putting never blocks, so a face that has stopped reading can neither hold up the supervisor nor fill its memory.
Ends of jobs and news of workers are never dropped; live events leave at most so many times a second.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Protocol

from workbench.protocol.codec import Envelope, encode
from workbench.protocol.memory import Leak, MemoryMark, MemorySample
from workbench.protocol.messages import LogLines, Progress, WorkerBusy
from workbench.protocol.runs import RunRow

LINES_KEPT = 200
"""Log lines of one role that wait here; older ones are counted as dropped."""

LIVE_LIMIT = 1000
"""Live events that wait here; beyond it the oldest goes."""

HERTZ = 10.0
HERTZ_RANGE = (0.2, 30.0)


class Sink(Protocol):
    """Where the outbox empties itself."""

    def write(self, data: bytes) -> None: ...

    def room(self) -> Awaitable[None]: ...


@dataclass
class _Entry:
    envelope: Envelope
    raw: bytes | None
    live: bool


def key_of(envelope: Envelope) -> tuple[Any, ...] | None:
    """What a newer event must share with an older one to replace it; None when it replaces nothing."""
    body = envelope.body
    match body:
        case RunRow():
            return ("RunRow", body.run)
        case Progress():
            return ("Progress", envelope.job)
        case MemorySample() | WorkerBusy() | LogLines():
            return (type(body).__name__, body.role)
        case Leak():
            return ("Leak", body.run)
    return None


def is_live(body: Any) -> bool:
    """Whether an event may wait for the next tick, and be dropped when far too many wait."""
    if isinstance(body, RunRow):
        return body.running
    return isinstance(body, (Progress, MemorySample, MemoryMark, WorkerBusy, LogLines, Leak))


def merge_lines(older: LogLines, newer: LogLines, limit: int = LINES_KEPT) -> LogLines:
    """The newest `limit` lines of both, the rest counted."""
    lines = older.lines + newer.lines
    left_out = max(0, len(lines) - limit)
    return LogLines(newer.role, lines[left_out:], older.dropped + newer.dropped + left_out)


class Outbox:
    """Give it envelopes with `put`; `run` carries them to a sink for as long as it is awaited."""

    def __init__(self, hertz: float = HERTZ, live_limit: int = LIVE_LIMIT) -> None:
        self._entries: dict[tuple[Any, ...], _Entry] = {}
        self._live_order: deque[tuple[Any, ...]] = deque()
        self._live_count = 0
        self._live_limit = live_limit
        self._serial = 0
        self._prompt = False
        self._wake = asyncio.Event()
        self._hurry = asyncio.Event()
        self._last = float("-inf")
        self.hertz = hertz
        self.written = 0
        """Bytes handed to the sink so far."""

    def set_rate(self, hertz: float) -> None:
        """Let live events leave this often a second, within `HERTZ_RANGE`."""
        self.hertz = min(max(hertz, HERTZ_RANGE[0]), HERTZ_RANGE[1])

    def __len__(self) -> int:
        return len(self._entries)

    def put(self, envelope: Envelope, raw: bytes | None = None) -> None:
        """Queue an event; `raw` is its encoded line when there is one already."""
        body, live = envelope.body, is_live(envelope.body)
        key = key_of(envelope)
        if key is None:
            self._serial += 1
            key = ("", self._serial)
        older = self._entries.get(key)
        if older is not None and isinstance(body, LogLines):
            envelope, raw = Envelope(merge_lines(older.envelope.body, body), None, envelope.sender), None
        if older is None and live:
            self._live_order.append(key)
        self._live_count += int(live) - int(older is not None and older.live)
        self._entries[key] = _Entry(envelope, raw, live)
        self._shed()
        self._wake.set()
        if not live:
            self._prompt = True
            self._hurry.set()

    def _shed(self) -> None:
        while self._live_count > self._live_limit and self._live_order:
            key = self._live_order.popleft()
            entry = self._entries.get(key)
            if entry is not None and entry.live:
                del self._entries[key]
                self._live_count -= 1

    def take(self) -> list[_Entry]:
        """Everything that waits, oldest first; the queue is empty afterwards."""
        batch = list(self._entries.values())
        self._entries.clear()
        self._live_order.clear()
        self._live_count = 0
        self._prompt = False
        self._wake.clear()
        self._hurry.clear()
        return batch

    async def run(self, sink: Sink) -> None:
        """Carry events to `sink` until cancelled: at once what is prompt, at `hertz` what is live."""
        clock = asyncio.get_running_loop().time
        while True:
            await self._wake.wait()
            pause = self._last + 1.0 / self.hertz - clock()
            if pause > 0 and not self._prompt:
                await _wait_at_most(self._hurry.wait, pause)
            self._last = clock()
            self.flush(sink)
            await sink.room()

    def flush(self, sink: Sink) -> None:
        """Write everything that waits now, without waiting for room."""
        for entry in self.take():
            line = entry.raw if entry.raw is not None else encode(entry.envelope)
            sink.write(line)
            self.written += len(line)


async def _wait_at_most(wait: Callable[[], Awaitable[Any]], seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await wait()
    except TimeoutError:
        return
