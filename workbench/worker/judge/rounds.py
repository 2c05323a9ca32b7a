"""Times of several calls beside each other: shuffled rounds, with the first of them beside itself as the control.

A machine drifts, so all sides are timed in each round, in another order each time; the control says how far a ratio
strays by noise alone. Measures only: what the calls do, and what a ratio means, is nobody's business here.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from statistics import median

from workbench.protocol.runs import Spread
from workbench.worker.judge.latency import quantile

BLOCK = 4e-3
"""Seconds that a timed block should last: below that the clock and the loop show."""
MOST_ROUNDS = 60
LEAST_ROUNDS = 5
"""Below so many a spread says nothing, so nothing is said of ratios."""
AGAIN = 0.05
"""Seconds of a forward below which one more is run before each block: after another mode's, caches are cold."""
GROUPS = 8
"""Parts into which many rounds are cut; the spread is that of the parts' medians."""
BUSY = 0.9
"""Share of a core that the measuring thread has on an idle machine at least; 0.97 to 1.0 was seen."""

Block = Callable[[int], float]
"""Runs so many forwards; the seconds that all of them took."""


@dataclass
class Side:
    """One of the things that are timed."""

    run: Block
    expected: float
    """Seconds a forward, about."""
    samples: list[float] = field(default_factory=list)
    """Seconds a forward, of each block."""
    forwards: int = 0
    seconds: float = 0.0
    """Spent in forwards that count."""

    def block(self) -> None:
        """One block more."""
        count = max(1, min(1000, round(BLOCK / max(self.expected, 1e-7))))
        if self.expected < AGAIN:
            self.run(1)
        taken = self.run(count)
        self.samples.append(taken / count)
        self.forwards += count
        self.seconds += taken


@dataclass(frozen=True)
class Ratio:
    """How many times faster than the first side, over the rounds."""

    middle: float
    low: float
    """Tenth percentile over the rounds, or over the medians of `GROUPS` parts of them."""
    high: float
    """Ninetieth."""

    def within(self, control: Ratio) -> bool:
        """Whether this is no more than what the control shows, too."""
        return control.low <= self.middle <= control.high


@dataclass(frozen=True)
class Timed:
    """What the rounds came to; empty `ratios` and no control when there were fewer than `LEAST_ROUNDS`."""

    rounds: int
    control: Ratio | None
    ratios: list[Ratio]
    """One for each side; the first side's own is 1."""
    share: float
    """Processor time of the measuring thread over the time that passed: below `BUSY` somebody else had the core."""


def time_rounds(
    sides: Sequence[Side], rounds: int, seconds: float, look: Callable[[int, float], None], clock: Callable[[], float]
) -> Timed:
    """Time every side and the first one twice in `rounds` shuffled rounds (0: as many as `seconds` allow).

    `look(round, share)` is called before each block and may raise to end everything; `clock` gives seconds. Samples
    are left in the sides. Rounds end early once `seconds` are over, unless `rounds` asks for them.
    """
    first = sides[0]
    control = Side(first.run, first.expected)
    every = [control, *sides]
    order, shuffle = list(every), random.Random(0)
    begun, cpu = clock(), time.thread_time()
    done = 0
    while done < (rounds or MOST_ROUNDS):
        if not rounds and done and (clock() - begun) * (done + 1) / done > seconds:
            break
        shuffle.shuffle(order)
        for side in order:
            look(done, min(1.0, (clock() - begun) / seconds) if seconds > 0 else 0.0)
            side.block()
        done += 1
    share = (time.thread_time() - cpu) / max(1e-9, clock() - begun)
    if done < LEAST_ROUNDS:
        return Timed(done, None, [], share)
    ratios = [_ratio(first.samples, side.samples) for side in sides]
    return Timed(done, _ratio(first.samples, control.samples), ratios, share)


def _ratio(first: Sequence[float], other: Sequence[float]) -> Ratio:
    """Of medians over a few rounds each: one block that was interrupted for 10 ms says nothing about the calls."""
    by_round = [one / two for one, two in zip(first, other)]  # noqa: B905 (one a round)
    size = max(1, len(by_round) // GROUPS)
    parts = sorted(median(by_round[start : start + size]) for start in range(0, len(by_round), size))
    return Ratio(median(by_round), _share(parts, 0.1), _share(parts, 0.9))


def _share(ordered: Sequence[float], share: float) -> float:
    place = share * (len(ordered) - 1)
    low = int(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)


def spread_of(samples: Sequence[float], forwards: int) -> Spread:
    """Statistics of seconds a forward; each sample is the mean of a block."""
    ordered = sorted(round(sample * 1e9) for sample in samples)
    middle = quantile(ordered, 0.5) / 1e9
    return Spread(
        forwards,
        middle,
        quantile(ordered, 0.9) / 1e9,
        quantile(ordered, 0.99) / 1e9,
        ordered[0] / 1e9,
        (quantile(ordered, 0.75) - quantile(ordered, 0.25)) / 1e9,
        1.0 / middle if middle > 0 else 0.0,
    )
