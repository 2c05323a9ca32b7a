"""What one worker writes on its standard error: split, bounded, and told at a pace a person can read.

Never holds more than a screenful or two, whatever a model prints, and never parses what it holds.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from workbench.protocol.messages import LogLines
from workbench.protocol.text import shorten

LINES_PER_EVENT = 200
EVENT_INTERVAL = 0.1
"""Seconds between two events of one worker."""

LINE_LENGTH = 2000
"""Characters of one line; the rest is cut off."""

TAIL = 60
"""Lines remembered for the day it dies: a faulthandler report of one thread fits."""

_PARTIAL_AFTER = 0.5
"""Seconds after which a line without an end is shown: a prompt waits for an answer and never ends its line."""


class WorkerLog:
    """Feed it bytes; it tells `tell` about lines. Works inside a running event loop only."""

    def __init__(self, role: str, tell: Callable[[LogLines], None]) -> None:
        self._role = role
        self._tell = tell
        self._partial = b""
        self._overlong = False
        self._waiting: deque[str] = deque(maxlen=LINES_PER_EVENT)
        self._dropped = 0
        self._tail: deque[str] = deque(maxlen=TAIL)
        self._timer: asyncio.TimerHandle | None = None
        self._prompt_timer: asyncio.TimerHandle | None = None
        self._last = float("-inf")

    def feed(self, data: bytes) -> None:
        """Take what was read from the pipe."""
        *lines, rest = data.split(b"\n")
        if lines:
            if self._overlong:
                lines[0], self._overlong = b"", False
            lines[0] = self._partial + lines[0]
            self._partial = b""
            skipped = max(0, len(lines) - LINES_PER_EVENT)
            self._dropped += skipped
            for line in lines[skipped:]:
                self._line(line)
            self._schedule()
        if not self._overlong:
            self._partial += rest
            if len(self._partial) > 4 * LINE_LENGTH:  # a character has at most four bytes
                self._partial, self._overlong = self._partial[: 4 * LINE_LENGTH], True
        if self._prompt_timer is not None:
            self._prompt_timer.cancel()
            self._prompt_timer = None
        if self._partial:
            self._prompt_timer = asyncio.get_running_loop().call_later(_PARTIAL_AFTER, self.flush)

    def say(self, line: str) -> None:
        """Add a line of the supervisor's own."""
        self._line(line.encode("utf-8", "replace"))
        self._schedule()

    def tail(self) -> tuple[str, ...]:
        """The last lines, whether they were told or not."""
        return tuple(self._tail)

    def flush(self) -> None:
        """Tell everything now, also a line that has no end yet."""
        if self._partial:
            line, self._partial = self._partial, b""
            self._line(line)
        self._send()

    def _line(self, raw: bytes) -> None:
        text = raw.decode("utf-8", "replace").rstrip("\r")
        text = text.rsplit("\r", 1)[-1]  # a progress bar overwrites its line; its last state is the line
        text = shorten(text, LINE_LENGTH)
        if len(self._waiting) == LINES_PER_EVENT:
            self._dropped += 1
        self._waiting.append(text)
        self._tail.append(text)

    def _schedule(self) -> None:
        if self._timer is None:
            loop = asyncio.get_running_loop()
            pause = max(0.0, self._last + EVENT_INTERVAL - loop.time())
            self._timer = loop.call_later(pause, self._send)

    def _send(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if not self._waiting and not self._dropped:
            return
        self._last = asyncio.get_running_loop().time()
        lines, dropped = tuple(self._waiting), self._dropped
        self._waiting.clear()
        self._dropped = 0
        self._tell(LogLines(self._role, lines, dropped))
