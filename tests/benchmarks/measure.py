"""What probes share to measure with: percentiles, and two sides taken in turns in one run."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

MIB = 2**20


@dataclass(frozen=True)
class Settings:
    """How thorough a run of the benchmarks is."""

    full: bool = False
    """The sizes of the design's table; otherwise smaller ones that a laptop takes in its stride."""
    rounds: int = 5
    """How often each side of a comparison gets its turn."""
    folder: Path = Path()
    """A private directory for this run."""


def percentile(samples: Sequence[float], share: float) -> float:
    """The smallest sample that at least `share` of all do not exceed."""
    ordered = sorted(samples)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def in_turns(
    first: Callable[[], float], second: Callable[[], float], rounds: int
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """A B A B …: both sides meet the same weather. Returns what each gave."""
    pairs = [(first(), second()) for _ in range(rounds)]
    return tuple(pair[0] for pair in pairs), tuple(pair[1] for pair in pairs)


def ratios(above: Sequence[float], below: Sequence[float]) -> tuple[float, ...]:
    """Round by round, so that a slow moment of the machine falls on both."""
    return tuple(a / b for a, b in zip(above, below, strict=True))


def with_spread(samples: Sequence[float], form: str = "{:.2f}") -> str:
    """The median, and the smallest and largest in brackets."""
    return f"{form.format(statistics.median(samples))} [{form.format(min(samples))} … {form.format(max(samples))}]"


def ms(seconds: float) -> str:
    return f"{seconds * 1000:.1f}" if seconds < 0.0995 else f"{seconds * 1000:.0f}"


def ms_with_spread(samples: Sequence[float]) -> str:
    return f"{ms(statistics.median(samples))} [{ms(min(samples))} … {ms(max(samples))}] ms"
