"""The innermost loop: forwards in timed blocks, with nothing else in between.

Owns how a forward is called and timed. Everything that looks at an output happens between blocks, in `firing.py`.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import repeat
from typing import Any

import torch

from workbench.worker.judge.latency import Times

BLOCK = 20_000_000
"""Nanoseconds that a block should last: cancelling stays prompt, and what happens between blocks is 0.1 % of it."""
SINGLE = 10_000
"""Nanoseconds of a forward below which several are timed together, for reading the clock costs 0.1 µs."""
PIECE = 100_000
"""Nanoseconds of work between two looks at the clock then."""
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
        self._synchronize = _synchronizer(device)

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
        else:
            self._singly(count)

    def together(self, expected: int) -> int:
        """How many forwards of `expected` nanoseconds share one entry among the times."""
        if self._seed is not None:
            return 1
        if self._synchronize is not None:
            return max(1, DEVICE_PIECE // max(1, expected))
        return PIECE // max(1, expected) if expected < SINGLE else 1

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
            if seed is None and keep is None and synchronize is None:
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

    def _pieces(self, count: int, together: int) -> None:
        clock, call, keep, synchronize = time.perf_counter_ns, self._call, self._keep, self._synchronize
        pieces, rest = divmod(count, together)
        totals: list[int] = []
        for size in (*repeat(together, pieces), *repeat(rest, bool(rest))):
            if synchronize is not None:
                synchronize()
            start = clock()
            if keep is None:
                for _ in repeat(None, size):
                    call()
            else:
                for _ in repeat(None, size):
                    keep(call())
            if synchronize is not None:
                synchronize()
            totals.append(clock() - start)
            if size != together:
                self._times.add_means([totals.pop()], size)
        if totals:
            self._times.add_means(totals, together)


def _synchronizer(device: str) -> Callable[[], None] | None:
    """What waits until the device has done its work; None for the CPU, which has when the call returns."""
    if device.startswith("cuda"):
        return lambda: torch.cuda.synchronize(device)
    if device.startswith("mps"):
        return torch.mps.synchronize
    return None
