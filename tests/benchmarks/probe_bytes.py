"""Bytes to the terminal: none when nothing changes, few at ten frames a second, dropped when the line is slow."""

from __future__ import annotations

from collections.abc import Sequence

from .face import STORY, opened
from .measure import Settings
from .table import Row

IDLE, LIVE, SLOW = 0, 15_000, 3_000
"""Bytes a second."""
CATCH_UP = 0.5
"""Seconds after a stalled line goes on until a key is answered."""


def measure(settings: Settings) -> list[Row]:
    seconds = 10.0 if settings.full else 5.0
    return [*idle_and_live(settings, seconds), *slow(settings, seconds)]


def idle_and_live(settings: Settings, seconds: float) -> Sequence[Row]:
    with opened(settings, *STORY) as terminal:
        terminal.send("space", "space")
        terminal.wait_quiet(1.5)
        idle = terminal.watch(seconds) / seconds
        terminal.send("R")
        terminal.watch(1.0)
        live = terminal.watch(seconds) / seconds
        with terminal.paused():
            terminal.send("ctrl+p")  # answered when the line goes on; frames must not have queued up before it
            terminal.watch(3.0)
        before = len(terminal.chunks)
        resumed = terminal.wait_for("Run the model once.") - terminal.chunks[before][0]
    return [
        Row("bytes", "bytes/s to the terminal, idle", "0", f"{idle:.0f}", idle <= IDLE),
        Row("bytes", "bytes/s, live at 10 Hz, 120×40", f"≤ {LIVE:,}", f"{live:,.0f}", live <= LIVE),
        Row(
            "bytes", "a key answered after a line that stalled 3 s goes on", f"≤ {CATCH_UP * 1000:.0f} ms",
            f"{resumed * 1000:.0f} ms", resumed <= CATCH_UP, "frames are dropped, never queued",
        ),
    ]  # fmt: skip


def slow(settings: Settings, seconds: float) -> Sequence[Row]:
    with opened(settings, *STORY, "--slow-link") as terminal:
        terminal.send("R")
        terminal.watch(1.0)
        live = terminal.watch(seconds) / seconds
    return [Row("bytes", "bytes/s, live on a slow link (2 Hz)", f"≤ {SLOW:,}", f"{live:,.0f}", live <= SLOW)]
