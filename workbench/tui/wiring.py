"""From what the engine says to what the panes show: which events touch which parts, and when they are painted.

However many events come, parts are painted at most every `seconds`, and a part that nothing touched is not
looked at. There is no timer while nothing runs: an idle screen sends no byte.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from workbench.client.state import State

if TYPE_CHECKING:
    from workbench.protocol.codec import Envelope
    from workbench.protocol.memory import MemoryMark, MemorySample
    from workbench.protocol.messages import WorkerBusy
    from workbench.protocol.runs import RunRow

PARTS = ("status", "model", "modes", "runs", "memory", "artifacts", "log", "activity", "story")
"""What can be painted by itself."""

TOUCHED: dict[str, tuple[str, ...]] = {
    "WorkerReady": PARTS,
    "WorkerDied": PARTS,
    "Loaded": PARTS,
    "ModesNow": PARTS,
    "Paused": ("activity", "status"),
    "Resumed": ("activity", "status"),
    "WorkerBusy": ("status", "activity"),
    "WeightsHashed": ("status",),
    "RunRow": ("runs", "activity", "story"),
    "MemorySample": ("memory", "status"),
    "MemoryMark": ("memory",),
    "Leak": ("memory", "story"),
    "LogLines": ("log",),
    "Progress": ("activity", "artifacts"),
    "ExportResult": ("artifacts", "story"),
    "VerifyResult": ("artifacts", "story"),
    "Done": PARTS,
}
"""Parts that an event may change, by its name on the wire: the first frame is drawn before the protocol is imported."""

CLOCK = 1.0
"""Seconds between two looks of the clock, while a job is open or the engine starts."""


class Wiring:
    """Collects what was touched and has it painted."""

    def __init__(self, state: State, paint: Callable[[frozenset[str]], None], seconds: float) -> None:
        self.rows: dict[int, RunRow] = {}
        """Newest reports of rows that were not painted yet."""
        self.lines: list[tuple[str, str]] = []
        """(role, line) that were not painted yet."""
        self.samples: list[MemorySample | MemoryMark] = []
        """The same for the memory graph."""
        self.busy: WorkerBusy | None = None
        """The worker has not answered for a while."""
        self.active = False
        """Something ran since memory was painted last: a run may be over before a sample of it comes."""
        self.fresh = False
        """Another model is on the bench: its runs begin anew."""
        self._state, self._paint, self._seconds = state, paint, seconds
        self._touched: set[str] = set()
        self._handle: asyncio.TimerHandle | None = None
        self._clock: asyncio.TimerHandle | None = None
        self._painted = float("-inf")

    def take(self, body: Any, envelope: Envelope) -> None:
        """Listen to the session."""
        name = type(body).__name__
        match name:
            case "RunRow":
                self.rows[body.run] = body
                self.active = True
            case "Done":
                self._done(body.result)
            case "LogLines":
                self.lines += [(body.role, line) for line in body.lines]
                if body.dropped:
                    self.lines.append((body.role, f"… {body.dropped} lines left out"))
            case "MemoryMark":
                self.samples.append(body)
            case "MemorySample" if body.role == "bench":
                self.samples.append(body)
            case "WorkerBusy" if body.role == "bench":
                self.busy = body
        if name in ("Done", "WorkerDied", "Progress"):
            self.busy = None
        if name in TOUCHED:
            self.touch(*TOUCHED[name])

    def _done(self, result: Any) -> None:
        match result:
            case {"type": "Loaded", "body": {"keep_runs": False}}:
                self.rows.clear()
                self.fresh = True

    def touch(self, *parts: str) -> None:
        """Have these parts painted soon; without any, all of them."""
        self._touched.update(parts or PARTS)
        if self._handle is None and self._touched:
            loop = asyncio.get_running_loop()
            wait = self._painted + self._seconds - loop.time()
            self._handle = loop.call_later(max(0.0, wait), self.flush)

    def flush(self) -> None:
        """Paint now what was touched."""
        loop = asyncio.get_running_loop()
        self._handle = None
        self._painted = loop.time()
        parts, self._touched = frozenset(self._touched), set()
        self._paint(parts)
        self._wind()

    def close(self) -> None:
        """Paint nothing any more."""
        for handle in (self._handle, self._clock):
            if handle is not None:
                handle.cancel()
        self._handle = self._clock = None

    def _wind(self) -> None:
        """The clock runs while something takes its time, and stands still otherwise."""
        running = bool(self._state.jobs) or self._state.engine == "starting"
        if running and self._clock is None:
            self._clock = asyncio.get_running_loop().call_later(CLOCK, self._tick)

    def _tick(self) -> None:
        self._clock = None
        self.touch("activity", "status")
