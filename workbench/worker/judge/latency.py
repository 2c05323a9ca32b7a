"""Times of forwards: a bounded sample of them, and the statistics that a row shows.

Pure bookkeeping over numbers that others measured; it never reads a clock and never runs a model.
"""

from __future__ import annotations

import math
import random
from array import array

from workbench.protocol.runs import Spread

RESERVOIR = 65_536
"""Times kept; beyond this each further one replaces another with the right probability (algorithm L)."""
LIVE = 1_024
"""Times looked at for a report while a repeat runs: sorting them takes 0.1 ms."""

NO_TIMES = Spread(0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)


class Times:
    """A growing, bounded sample of times in nanoseconds."""

    def __init__(self) -> None:
        self.count = 0
        """Forwards timed."""
        self.first = 0
        """Nanoseconds of the very first forward."""
        self.total = 0
        """Nanoseconds of all forwards, without what lies between them."""
        self._kept = array("q")
        self._seen = 0
        self._least = 0
        self._random = random.Random(0)  # of its own: the model's generators are not ours to draw from
        self._weight = 1.0
        self._next = 0

    def extend(self, times: list[int]) -> None:
        """Add one time a forward."""
        least = min(times)
        if not self.count:
            self.first, self._least = times[0], least
        self.total += sum(times)
        self.count += len(times)
        self._least = min(self._least, least)
        for start in range(0, len(times), RESERVOIR):
            self._keep(times[start : start + RESERVOIR])

    def add_means(self, means: list[int]) -> None:
        """Add entries to the sample that are means of forwards which `add_untimed` has counted; never the first."""
        self._least = min(self._least, *means)
        self._keep(means)

    def add_untimed(self, total: int, count: int) -> None:
        """Add `count` forwards that took `total` together and are no part of the sample."""
        self.total += total
        self.count += count

    def _keep(self, times: list[int]) -> None:
        room = RESERVOIR - len(self._kept)
        if room:
            self._kept.extend(times[:room])
            if len(self._kept) == RESERVOIR:
                self._skip(RESERVOIR)
        end = self._seen + len(times)
        while len(self._kept) == RESERVOIR and self._next < end:
            self._kept[self._random.randrange(RESERVOIR)] = times[self._next - self._seen]
            self._skip(self._next + 1)
        self._seen = end

    def _skip(self, position: int) -> None:
        self._weight *= math.exp(math.log(1.0 - self._random.random()) / RESERVOIR)
        step = math.log(1.0 - self._random.random()) / math.log1p(-self._weight)
        self._next = position + math.floor(step)

    @property
    def typical(self) -> float:
        """Mean nanoseconds a forward."""
        return self.total / self.count if self.count else 0.0

    def spread(self, seconds: float, live: bool = False) -> Spread:
        """Statistics in seconds; `seconds` is the wall time of all `count` forwards together."""
        if not self.count:
            return NO_TIMES
        kept = self._kept[:: max(1, len(self._kept) // LIVE)] if live else self._kept
        ordered = sorted(kept)
        return Spread(
            self.count,
            quantile(ordered, 0.5) / 1e9,
            quantile(ordered, 0.9) / 1e9,
            quantile(ordered, 0.99) / 1e9,
            self._least / 1e9,
            (quantile(ordered, 0.75) - quantile(ordered, 0.25)) / 1e9,
            self.count / seconds if seconds > 0 else 0.0,
        )


def quantile(ordered: list[int], share: float) -> float:
    """The `share` quantile of sorted numbers, interpolated between neighbours."""
    place = share * (len(ordered) - 1)
    low = int(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)
