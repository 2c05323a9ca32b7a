"""Records about memory over time."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class MemorySample:
    """One look at a worker from outside."""

    at: float
    """Seconds since the supervisor started."""
    role: str
    rss: int
    """Bytes."""
    anonymous: int
    """Bytes that no file backs: mapped weights do not look like a leak here. -1 where the system does not say."""
    peak: int
    """Highest RSS seen, bytes."""
    cpu: float
    """Share of one core since the last sample, e.g. 1.8 with two busy cores."""


@dataclass(frozen=True)
class MemoryMark:
    """A moment worth a mark on the time axis."""

    at: float
    """Seconds since the supervisor started."""
    label: str
    """"eval", "no_grad", "#3", "#4 ×100" …"""


@dataclass(frozen=True)
class Leak:
    """Memory that climbs with each run, measured and explained."""

    run: int
    slope: float
    """Bytes a forward, least squares over the runs counted."""
    spread: float
    """Standard error of the slope, bytes a forward."""
    runs: int
    kept_outputs: int
    """Outputs that are being kept."""
    saved_bytes: int
    """Bytes each kept graph holds for backward."""
    climbing: bool
    """True when the slope is positive beyond doubt; False: flat."""
    words: str
    """What happens and why: "Memory climbs 49.5 MB a run: …"."""
    remedy: str
