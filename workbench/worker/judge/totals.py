"""Owns the running totals of one leaf's comparison: everything that one pass over its chunks gathers.

Carried into a bundle's verify.py: standard library and torch only. The policies are compare.py's.
"""

from __future__ import annotations

import math

import torch

from workbench.worker.judge.chunks import (
    CHUNK_EDGES,
    chunk_bits,
    chunk_cell,
    chunk_decades,
    chunk_distance,
    chunk_dot,
    chunk_fold,
    chunk_ordered,
    chunk_plus,
    chunk_real,
    chunk_rescaled,
    chunk_top,
    chunk_ulps,
    chunk_whole,
)

TOTALS_RTOL, TOTALS_ATOL = 1e-5, 1e-8
"""Defaults of torch.allclose."""


class Totals:
    """What has been seen so far of one leaf."""

    def __init__(self, a: torch.Tensor, rows: int, columns: int, device: torch.device) -> None:
        self.rows, self.columns = rows, columns
        self.cell = chunk_cell(rows, columns)
        self.floating = a.is_floating_point() or a.is_complex()
        self.wide = a.dtype in (torch.float64, torch.complex128)
        self.ordered = self.floating and chunk_ordered(a.dtype)
        self.classes = a.is_floating_point() and a.ndim >= 2 and columns >= 2
        self.mismatched = self.clashes = self.kept = self.max_ulp = self.agree = 0
        self.nan_a = self.nan_b = self.inf_a = self.inf_b = 0
        self.max_abs = self.max_rel = self.peak = 0.0
        self.close = True
        self._best = [(0.0, 0), (0.0, 0)]
        self.worst: tuple[int, int] | None = None
        self.distance = self.squares = self.scale = self.norm_a = self.norm_b = self.inner = (0.0, 0)
        self.decades = torch.zeros(len(CHUNK_EDGES) + 1, dtype=torch.int64, device=device)
        self.zeros = 0
        cells = (-(-rows // self.cell[0]), -(-columns // self.cell[1]))
        self.heat = torch.zeros(cells, dtype=torch.float64, device=device)

    def add(self, a: torch.Tensor, b: torch.Tensor, block: tuple[int, int, int, int]) -> None:
        """Look at one chunk of both sides, contiguous [rows, columns] of `block`."""
        to_bits = chunk_bits if self.floating else chunk_whole
        bits_a, bits_b = to_bits(a), to_bits(b)
        patterns = bits_a ^ bits_b
        changed = (patterns != 0).any(-1) if a.is_complex() else patterns
        mismatched = int(torch.count_nonzero(changed))
        real_a = chunk_real(a)
        same = mismatched == 0
        real_b = real_a if same else chunk_real(b)
        if self.classes:
            native = a.dtype in (torch.float32, torch.float64)  # the narrower the faster; half has slow kernels
            self._add_classes(*((a, b) if native else (real_a, real_b)), same, block)
        if same and math.isfinite(chunk_top(real_a.abs())):
            self.zeros += real_a.numel()
            self.decades[0] += real_a.numel()
            self._add_values(real_a, real_a, None, None)
            return
        distance = (real_b - real_a).abs() if self.floating else chunk_distance(bits_a, bits_b)
        self.mismatched += mismatched
        keep_a = keep = None
        if not math.isfinite(float(distance.sum())):
            distance, changed, keep_a, keep = self._settle(real_a, real_b, distance, changed)
            bits_a, bits_b = (
                torch.where(keep.unsqueeze(-1) if a.is_complex() else keep, t, 0) for t in (bits_a, bits_b)
            )
            patterns = bits_a ^ bits_b
        self._add_values(real_a, real_b, keep_a, keep)
        self._add_distance(distance, real_a, changed, block)
        if self.ordered:
            self.max_ulp = max(self.max_ulp, chunk_ulps(bits_a, bits_b, patterns))

    def _add_classes(self, a: torch.Tensor, b: torch.Tensor, same: bool, block: tuple[int, int, int, int]) -> None:
        """Count rows whose largest element stands at the same place; the first of equals, NaN above all, as argmax."""
        left, right = block[2:]
        if right - left == self.columns:
            self.agree += a.shape[0] if same else int((a.argmax(-1) == b.argmax(-1)).sum())
            return
        for side, values in enumerate((a, b)):  # a row too long for one chunk: these come one row after the other
            place = int(values.argmax())
            top = float(values[0, place])
            best = self._best[side]
            if left == 0 or top > best[0] or (math.isnan(top) and not math.isnan(best[0])):
                self._best[side] = (top, left + place)
        if right == self.columns:
            self.agree += self._best[0][1] == self._best[1][1]

    def _settle(
        self, real_a: torch.Tensor, real_b: torch.Tensor, distance: torch.Tensor, changed: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
        """Apply the policy on NaN and infinity: the distance by it, what changed, where a is finite, where both are."""
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
        return distance, (changed != 0) & ~payloads, keep_a, keep_a & keep_b

    def _add_values(
        self, a: torch.Tensor, b: torch.Tensor, keep_a: torch.Tensor | None, keep: torch.Tensor | None
    ) -> None:
        """Sums for scale and cosine, over finite elements."""
        reference = a if keep_a is None else torch.where(keep_a, a, 0.0)
        self.kept += a.numel() if keep_a is None else int(keep_a.sum())
        self.peak = max(self.peak, chunk_top(reference.abs()))
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
        self.norm_a = chunk_plus(self.norm_a, (square, 2 * up))
        self.norm_b = chunk_plus(self.norm_b, (chunk_dot(other, other), 2 * up_b))
        self.inner = chunk_plus(self.inner, (chunk_dot(scaled, other), up + up_b))

    def _add_distance(
        self, distance: torch.Tensor, real_a: torch.Tensor, changed: torch.Tensor, block: tuple[int, int, int, int]
    ) -> None:
        top = chunk_top(distance)
        if top > self.max_abs or (self.worst is None and bool(changed.any())):
            place = int((distance if top > 0.0 else (changed != 0).to(torch.int8)).argmax())
            width = block[3] - block[2]
            self.worst = (block[0] + place // width, block[2] + place % width)
        self.max_abs = max(self.max_abs, top)
        scaled, up = chunk_rescaled(distance, self.wide)
        self.distance = chunk_plus(self.distance, (float(scaled.sum()), up))
        self.squares = chunk_plus(self.squares, (chunk_dot(scaled, scaled), 2 * up))
        size = real_a.abs()
        if self.close and top > TOTALS_ATOL:
            self.close = bool((distance <= size * TOTALS_RTOL + TOTALS_ATOL).all())
        ratio = distance / size
        most = chunk_top(ratio)
        if not math.isfinite(most):  # zeros in the reference, or what is not finite
            most = chunk_top(torch.where((size > 0.0) & size.isfinite(), ratio, 0.0))
        self.max_rel = max(self.max_rel, most)
        self.zeros += distance.numel() - int(torch.count_nonzero(distance))
        self.decades += chunk_decades(distance)
        high, wide = self.cell
        folded = chunk_fold(chunk_fold(distance, 0, high), 1, wide)
        row, column = block[0] // high, block[2] // wide
        part = self.heat[row : row + folded.shape[0], column : column + folded.shape[1]]
        torch.maximum(part, folded, out=part)

    def take(self, other: Totals) -> None:
        """Add what was seen of the blocks that follow these."""
        for name in ("mismatched", "clashes", "kept", "agree", "nan_a", "nan_b", "inf_a", "inf_b", "zeros"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        for name in ("distance", "squares", "scale", "norm_a", "norm_b", "inner"):
            setattr(self, name, chunk_plus(getattr(self, name), getattr(other, name)))
        if self.worst is None or (other.worst is not None and other.max_abs > self.max_abs):
            self.worst = other.worst
        for name in ("max_abs", "max_rel", "max_ulp", "peak"):
            setattr(self, name, max(getattr(self, name), getattr(other, name)))
        self.close = self.close and other.close
        self.decades += other.decades
        torch.maximum(self.heat, other.heat, out=self.heat)
