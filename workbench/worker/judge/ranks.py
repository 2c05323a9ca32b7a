"""Owns the agreement of two sides about their largest elements: top-1 and top-5, row by row.

Carried into a bundle's verify.py: standard library and torch only. The first of equals is the largest, and NaN is above
all, as for argmax.
"""

from __future__ import annotations

import math

import torch

RANKS_TOP = 5
"""Largest elements among which the other side's largest is looked for."""


class Ranks:
    """Rows counted so far; a row of `columns` elements comes at once, or in parts one after the other."""

    def __init__(self, columns: int) -> None:
        self._columns = columns
        self.rows = 0
        self.top1 = 0
        """Rows whose largest element stands at the same place in both."""
        self.top5 = 0
        """Rows whose largest place in the reference has fewer than five elements of the other side above it."""
        self._best = [(0.0, 0), (0.0, 0)]
        self._there = 0.0
        """Of the other side, where the reference has its largest so far."""
        self._leading: list[float] = []
        """The largest of the other side so far, at most `RANKS_TOP`."""

    def add(self, a: torch.Tensor, b: torch.Tensor, same: bool, left: int) -> None:
        """Floating [rows, columns] of both, whole rows, or one row's part from column `left` on; `same`: all bits."""
        if a.shape[1] == self._columns:
            one, five = (a.shape[0], a.shape[0]) if same else _ranks_agreeing(a, b)
            self.rows += a.shape[0]
            self.top1 += one
            self.top5 += five
            return
        for side, values in enumerate((a, b)):
            place = int(values.argmax())
            top = float(values[0, place])
            if left == 0 or _ranks_key(top) > _ranks_key(self._best[side][0]):
                self._best[side] = (top, left + place)
                self._there = float(b[0, place]) if side == 0 else self._there
        leading = b[0].topk(min(RANKS_TOP, b.shape[1])).values.tolist() + (self._leading if left else [])
        self._leading = sorted(leading, key=_ranks_key, reverse=True)[:RANKS_TOP]
        if left + a.shape[1] == self._columns:
            self.rows += 1
            self.top1 += self._best[0][1] == self._best[1][1]
            self.top5 += _ranks_key(self._there) >= _ranks_key(self._leading[-1])

    def take(self, other: Ranks) -> None:
        """Add the rows that follow these."""
        self.rows += other.rows
        self.top1 += other.top1
        self.top5 += other.top5

    @property
    def shares(self) -> tuple[float, float]:
        """Agreement in top-1 and top-5; -1 where nothing was counted, or there are no more than five columns."""
        if not self.rows:
            return -1.0, -1.0
        return self.top1 / self.rows, self.top5 / self.rows if self._columns > RANKS_TOP else -1.0


def _ranks_agreeing(a: torch.Tensor, b: torch.Tensor) -> tuple[int, int]:
    places_a, places_b = a.max(-1).indices, b.max(-1).indices  # argmax has the slower kernel
    other = (places_a != places_b).nonzero()[:, 0]
    one = a.shape[0] - other.numel()
    if not other.numel():
        return one, one
    rows = b.index_select(0, other)
    held = rows.gather(1, places_a.index_select(0, other).unsqueeze(1))
    above = ((rows > held) | (rows.isnan() & ~held.isnan())).sum(-1)
    return one, one + int((above < RANKS_TOP).sum())


def _ranks_key(value: float) -> tuple[bool, float]:
    return (True, 0.0) if math.isnan(value) else (False, value)
