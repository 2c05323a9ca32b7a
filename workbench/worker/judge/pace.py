"""The innermost loop: forwards in timed blocks, with nothing else in between.

Owns how a forward is called and timed. Everything that looks at an output happens between blocks, in `firing.py`.
"""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Callable
from itertools import repeat
from typing import Any

import torch

from workbench.protocol.model import Modes
from workbench.worker.bench.modes import seed_generators
from workbench.worker.judge.latency import Times
from workbench.worker.judge.memory import cuda_started

BLOCK = 20_000_000
"""Nanoseconds that a block should last: cancelling stays prompt, and what happens between blocks is 0.1 % of it."""
TOGETHER = 2_000
"""Nanoseconds of a forward below which several are timed together, for reading the clock takes 0.05 µs itself."""
PIECE = 100_000
"""Nanoseconds of work between two looks at the clock then."""
SAMPLED = 50_000
"""Nanoseconds of a forward below which only some are timed, for timing and remembering costs 0.3 µs each."""
SAMPLE = 4
"""One in so many is timed then."""
DEVICE_PIECE = 2_000_000
"""Nanoseconds of work between two synchronisations of an accelerator."""


class Pace:
    """Runs forwards and times them into `times`."""

    def __init__(
        self,
        call: Callable[[], Any],
        device: str,
        times: Times,
        seed: Callable[[], None] | None,
        keep: Callable[[Any], None] | None,
    ) -> None:
        """`seed` is called before each forward, outside of its time; `keep` gets every output."""
        self._call, self._times, self._seed, self._keep = call, times, seed, keep
        self._synchronize = synchronizer(device)
        self._bare = seed is None and keep is None and self._synchronize is None

    def one(self) -> Any:
        """One forward, timed by itself; returns its output. Whatever it raises goes through."""
        if self._seed is not None:
            self._seed()
        clock = time.perf_counter_ns
        if self._synchronize is None:
            start = clock()
            output = self._call()
            taken = clock() - start
        else:
            self._synchronize()
            start = clock()
            output = self._call()
            self._synchronize()
            taken = clock() - start
        self._times.extend([taken])
        if self._keep is not None:
            self._keep(output)
        return output

    def many(self, count: int, expected: int) -> None:
        """`count` forwards whose outputs nobody looks at; `expected` nanoseconds each decide how they are timed."""
        together = self.together(expected)
        if together > 1:
            self._pieces(count, together)
            return
        timed = -(-count // SAMPLE) if expected < SAMPLED and self._bare else count
        self._singly(timed)
        if count > timed:
            self._untimed(count - timed)

    def together(self, expected: int) -> int:
        """How many forwards of `expected` nanoseconds share one entry among the times."""
        if self._seed is not None:
            return 1
        if self._synchronize is not None:
            return max(1, DEVICE_PIECE // max(1, expected))
        return PIECE // max(1, expected) if expected < TOGETHER else 1

    def _singly(self, count: int) -> None:
        clock, call, seed, keep, synchronize = (
            time.perf_counter_ns,
            self._call,
            self._seed,
            self._keep,
            self._synchronize,
        )
        taken: list[int] = []
        append = taken.append
        try:
            if self._bare:
                for _ in repeat(None, count):
                    start = clock()
                    call()
                    append(clock() - start)
                return
            for _ in repeat(None, count):
                if seed is not None:
                    seed()
                if synchronize is not None:
                    synchronize()
                start = clock()
                output = call()
                if synchronize is not None:
                    synchronize()
                append(clock() - start)
                if keep is not None:
                    keep(output)
                del output
        finally:
            if taken:
                self._times.extend(taken)

    def _untimed(self, count: int) -> int:
        """`count` forwards in one go, until the device has done them too; returns the nanoseconds that they took.

        What was done counts, also when one of them raises or is interrupted.
        """
        call, keep, clock = self._call, self._keep, time.perf_counter_ns
        done = taken = 0
        start = clock()
        try:
            if keep is None:
                for done in range(count):  # noqa: B007 (the cheapest counter there is, for whoever interrupts)
                    call()
            else:
                for done in range(count):  # noqa: B007
                    keep(call())
            done = count
        finally:
            if done:
                try:
                    if self._synchronize is not None:
                        self._synchronize()
                finally:
                    taken = clock() - start
                    self._times.add_untimed(taken, done)
        return taken

    def _pieces(self, count: int, together: int) -> None:
        pieces, rest = divmod(count, together)
        means: list[int] = []
        for size in (*repeat(together, pieces), *repeat(rest, bool(rest))):
            if self._synchronize is not None:
                self._synchronize()
            means.append(round(self._untimed(size) / size))
        self._times.add_means(means)


def synchronizer(device: str) -> Callable[[], None] | None:
    """What waits until the device has done its work; None for the CPU, which has when the call returns."""
    if device.startswith("cuda"):
        return lambda: torch.cuda.synchronize(device)
    if device.startswith("mps"):
        return torch.mps.synchronize
    return None


def seed_quickly(modes: Modes) -> None:
    """`seed_generators` for one run of a repeat: the same states, without asking every kind of device (100 µs)."""
    if not modes.device.startswith(("cpu", "cuda")):
        seed_generators(modes.seed)
        return
    torch.default_generator.manual_seed(modes.seed)
    if cuda_started():
        torch.cuda.manual_seed_all(modes.seed)
    random.seed(modes.seed)
    numpy_random = sys.modules.get("numpy.random")
    if numpy_random is not None:
        numpy_random.seed(modes.seed % 2**32)
