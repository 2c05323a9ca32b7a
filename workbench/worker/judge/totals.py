"""Owns the running totals of one leaf's comparison: everything that one pass over its chunks gathers.

Carried into a bundle's verify.py: standard library and torch only. The policies are compare.py's.
"""

from __future__ import annotations

import math
import sys

import torch

from workbench.worker.judge.chunks import (
    CHUNK_KEYS,
    CHUNK_ULP_KEYS,
    chunk_bits,
    chunk_cell,
    chunk_decades,
    chunk_distance,
    chunk_dot,
    chunk_fold,
    chunk_keys,
    chunk_ordered,
    chunk_plus,
    chunk_quantile,
    chunk_real,
    chunk_rescaled,
    chunk_size,
    chunk_top,
    chunk_ulps,
    chunk_whole,
)
from workbench.worker.judge.ranks import Ranks

TOTALS_RTOL, TOTALS_ATOL = 1e-5, 1e-8
"""Defaults of torch.allclose."""

TOTALS_ALIKE = 1e4
"""Sums of squares this near each other, |a|² and |b|², and |b − a|² give 2ab to 12 digits of |a||b| without a pass."""

TOTALS_CLASSES = 1 << 20
"""Elements of an output of one dimension up to which it may be the scores of one sample's classes."""

TOTALS_COUNTS = (
    "mismatched", "clashes", "kept", "related", "relative", "nan_a", "nan_b", "inf_a", "inf_b",
    "_same", "_tiny", "_steady",
)  # fmt: skip
"""What is added where two parts of a leaf are put together."""


class Totals:
    """What has been seen so far of one leaf."""

    def __init__(self, a: torch.Tensor, rows: int, columns: int, device: torch.device) -> None:
        self.rows, self.columns = rows, columns
        self.cell = chunk_cell(rows, columns)
        self.floating = a.is_floating_point() or a.is_complex()
        self.wide = a.dtype in (torch.float64, torch.complex128)
        self.ordered = self.floating and chunk_ordered(a.dtype)
        self._classes = a.is_floating_point() and columns >= 2 and (a.ndim >= 2 or columns <= TOTALS_CLASSES)
        self.ranks = Ranks(columns)
        self.mismatched = self.clashes = self.kept = self.max_ulp = self.related = 0
        self.nan_a = self.nan_b = self.inf_a = self.inf_b = 0
        self.max_abs = self.max_rel = self.relative = self.peak = 0.0
        self.close = True
        self.worst: tuple[int, int] | None = None
        self.distance = self.squares = self.scale = self.norm_a = self.norm_b = self.inner = (0.0, 0)
        self._keys = torch.zeros(CHUNK_KEYS, dtype=torch.int64, device=device)
        self._same = self._tiny = 0
        self._ulps = torch.zeros(CHUNK_ULP_KEYS, dtype=torch.int64, device=device)
        self._steady = 0
        """Elements finite on both sides that are not in `_ulps`, for they are the same."""
        cells = (-(-rows // self.cell[0]), -(-columns // self.cell[1]))
        self._heat = torch.zeros(cells, dtype=torch.int64, device=device)
        """Bit patterns of distances, which are in their order: integers have the faster kernels."""

    def add(self, a: torch.Tensor, b: torch.Tensor, block: tuple[int, int, int, int]) -> None:
        """Look at one chunk of both sides, contiguous [rows, columns] of `block`."""
        to_bits = chunk_bits if self.floating else chunk_whole
        bits_a, bits_b = to_bits(a), to_bits(b)
        patterns = bits_a ^ bits_b
        changed = (patterns != 0).any(-1) if a.is_complex() else patterns
        mismatched = int(torch.count_nonzero(changed))
        real_a = chunk_real(a)
        size = chunk_size(real_a)
        peak = chunk_top(size)
        same = mismatched == 0
        real_b = real_a if same else chunk_real(b)
        if self._classes:
            native = a.dtype in (torch.float32, torch.float64)  # the narrower the faster; half has slow kernels
            self.ranks.add(*((a, b) if native else (real_a, real_b)), same, block[2])
        if same and math.isfinite(peak):
            self._same += size.numel()
            self._steady += size.numel()
            self.related += int(torch.count_nonzero(size))
            self._add_values(real_a, real_a, peak, None, None)
            return
        self.mismatched += mismatched
        distance = chunk_size(real_b - real_a) if self.floating else chunk_distance(bits_a, bits_b)
        keep = None
        top = chunk_top(distance)
        if not math.isfinite(top):
            distance, changed, keep = self._settle(real_a, real_b, distance, changed)
            bits_a, bits_b = (
                torch.where(keep.unsqueeze(-1) if a.is_complex() else keep, t, 0) for t in (bits_a, bits_b)
            )
            patterns, top = bits_a ^ bits_b, chunk_top(distance)
        plain = (a, b) if a.dtype == torch.float32 and keep is None else None
        squares = self._add_distance(distance, top, size, changed, mismatched, block, plain)
        self._add_values(real_a, real_b, peak, keep, squares)
        if self.ordered:
            most, keys = chunk_ulps(bits_a, bits_b, patterns)
            self.max_ulp = max(self.max_ulp, most)
            self._ulps += keys
            if keep is not None:  # those left out are no zeros
                self._ulps[0] -= keep.numel() - int(torch.count_nonzero(keep))

    def _settle(
        self, real_a: torch.Tensor, real_b: torch.Tensor, distance: torch.Tensor, changed: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Apply the policy on NaN and infinity: the distance by it, what changed, where both are finite."""
        nan_a, nan_b = real_a.isnan(), real_b.isnan()
        keep_a, keep_b = real_a.isfinite(), real_b.isfinite()
        same = (real_a == real_b) | (nan_a & nan_b)
        self.nan_a += int(nan_a.sum())
        self.nan_b += int(nan_b.sum())
        self.inf_a += int((~keep_a & ~nan_a).sum())
        self.inf_b += int((~keep_b & ~nan_b).sum())
        payloads = nan_a & nan_b & (changed != 0)
        self.mismatched -= int(payloads.sum())
        self.clashes += int((~same & ~(keep_a & keep_b)).sum())
        distance = torch.where(same, 0.0, torch.nan_to_num(distance, nan=math.inf, posinf=math.inf))
        return distance, (changed != 0) & ~payloads, keep_a & keep_b

    def _add_values(
        self, a: torch.Tensor, b: torch.Tensor, peak: float, keep: torch.Tensor | None, squares: float | None
    ) -> None:
        """Sums for scale and cosine, over finite elements. `squares`: the sum of |b − a|², where that is one number."""
        reference = a
        if math.isfinite(peak):
            self.kept += a.numel()
        else:
            keep_a = a.isfinite()
            self.kept += int(keep_a.sum())
            reference = torch.where(keep_a, a, 0.0)
            peak = chunk_top(chunk_size(reference))
        self.peak = max(self.peak, peak)
        scaled, up = chunk_rescaled(reference, self.wide)
        square = chunk_dot(scaled, scaled)
        self.scale = chunk_plus(self.scale, (square, 2 * up))
        if b is a:
            self.norm_a = chunk_plus(self.norm_a, (square, 2 * up))
            self.norm_b = chunk_plus(self.norm_b, (square, 2 * up))
            self.inner = chunk_plus(self.inner, (square, 2 * up))
            return
        if keep is not None:
            scaled, up = chunk_rescaled(torch.where(keep, a, 0.0), self.wide)
            square = chunk_dot(scaled, scaled)
            b = torch.where(keep, b, 0.0)
        other, up_b = chunk_rescaled(b, self.wide)
        square_b = chunk_dot(other, other)
        if keep is None and squares is not None and square < TOTALS_ALIKE * square_b < TOTALS_ALIKE**2 * square:
            inner = (square + square_b - squares) / 2
        else:
            inner = chunk_dot(scaled, other)
        self.norm_a = chunk_plus(self.norm_a, (square, 2 * up))
        self.norm_b = chunk_plus(self.norm_b, (square_b, 2 * up_b))
        self.inner = chunk_plus(self.inner, (inner, up + up_b))

    def _add_distance(
        self,
        distance: torch.Tensor,
        top: float,
        size: torch.Tensor,
        changed: torch.Tensor,
        mismatched: int,
        block: tuple[int, int, int, int],
        plain: tuple[torch.Tensor, torch.Tensor] | None,
    ) -> float | None:
        """What the distances, the largest of them `top`, and the sizes of the reference tell. Returns `squares`."""
        if top > self.max_abs or (self.worst is None and bool(changed.any())):
            place = int((distance if top > 0.0 else (changed != 0).to(torch.int8)).argmax())
            width = block[3] - block[2]
            self.worst = (block[0] + place // width, block[2] + place % width)
        self.max_abs = max(self.max_abs, top)
        scaled, up = chunk_rescaled(distance, self.wide)
        squares = chunk_dot(scaled, scaled)
        self.distance = chunk_plus(self.distance, (float(scaled.sum()), up))
        self.squares = chunk_plus(self.squares, (squares, 2 * up))
        ratio = distance / size
        most = chunk_top(ratio)
        if self.close and top > TOTALS_ATOL and not most < TOTALS_RTOL / 2:
            self.close = bool((distance <= size * TOTALS_RTOL + TOTALS_ATOL).all())
        total, related = float(ratio.sum()), ratio.numel()
        if not (math.isfinite(most) and math.isfinite(total)):  # zeros in the reference, or what is not finite
            known = (size > 0.0) & size.isfinite()
            ratio = torch.where(known, ratio, 0.0)
            most, total, related = chunk_top(ratio), float(ratio.sum()), int(torch.count_nonzero(known))
        self.max_rel = max(self.max_rel, most)
        self.relative += total
        self.related += related
        self._add_keys(distance, plain if most <= 0.5 else None, mismatched)
        if self.wide:  # of narrower numbers no difference but 0 has the exponent of zeros
            self._tiny += int(torch.count_nonzero(distance < sys.float_info.min)) - int((distance == 0.0).sum())
        high, wide = self.cell
        folded = chunk_fold(chunk_fold(distance.view(torch.int64), 0, high), 1, wide)
        row, column = block[0] // high, block[2] // wide
        part = self._heat[row : row + folded.shape[0], column : column + folded.shape[1]]
        torch.maximum(part, folded, out=part)
        return None if self.wide or top == math.inf else squares

    def _add_keys(
        self, distance: torch.Tensor, near: tuple[torch.Tensor, torch.Tensor] | None, mismatched: int
    ) -> None:
        """`near`: both sides, when they are float32 of which each pair differs by at most a factor of 2: then float32
        subtracts exactly (Sterbenz), and half as wide numbers take half as long."""
        if near is not None:
            keys = chunk_keys((near[1] - near[0]).abs_())
            if int(keys[0]) == distance.numel() - mismatched:  # none of them is subnormal
                self._keys += keys
                return
        self._keys += chunk_keys(distance)

    @property
    def heat(self) -> torch.Tensor:
        """The largest distance in each cell of the heat map, float64."""
        return self._heat.view(torch.float64)

    @property
    def decades(self) -> tuple[int, ...]:
        """How many distances are 0, and how many fall into each decade: 21 counts."""
        counts = chunk_decades(self._keys)
        zeros = int(self._keys[0]) - self._tiny
        return (self._same + zeros, counts[0] - zeros, *counts[1:])

    @property
    def p99_ulp(self) -> int:
        """The distance that 99 of 100 elements finite on both sides do not exceed."""
        if not self.ordered:
            return 0
        keys = self._ulps.clone()
        keys[0] += self._steady
        return chunk_quantile(keys, 0.99)

    def take(self, other: Totals) -> None:
        """Add what was seen of the blocks that follow these."""
        for name in TOTALS_COUNTS:
            setattr(self, name, getattr(self, name) + getattr(other, name))
        for name in ("distance", "squares", "scale", "norm_a", "norm_b", "inner"):
            setattr(self, name, chunk_plus(getattr(self, name), getattr(other, name)))
        if self.worst is None or (other.worst is not None and other.max_abs > self.max_abs):
            self.worst = other.worst
        for name in ("max_abs", "max_rel", "max_ulp", "peak"):
            setattr(self, name, max(getattr(self, name), getattr(other, name)))
        self.close = self.close and other.close
        self.ranks.take(other.ranks)
        self._keys += other._keys
        self._ulps += other._ulps
        torch.maximum(self._heat, other._heat, out=self._heat)
