"""The error of one set of tensors against another, relative to the RMS of the reference. Pure, in bounded memory."""

from __future__ import annotations

import math

import torch

from workbench.worker.judge.leaves import Flat

NOISE = 4
"""Times the eps of the coarser dtype: what rounding alone makes of one module's answer."""
_PIECE = 1 << 20
"""Elements that are looked at together."""


def relative_error(a: Flat, b: Flat) -> float:
    """The worst RMS(b - a) / RMS(a) of any tensor, in float64; integers and booleans count as numbers.

    Infinite where one side alone is not finite or `a` is zero throughout; NaN for other trees or shapes, and where no
    tensor can be compared.
    """
    worst = -1.0
    for (path, one), (other, two) in zip(a.leaves, b.leaves):  # noqa: B905 (lengths are compared below)
        if path != other or one.shape != two.shape:
            return math.nan
        if one.layout is torch.strided and two.layout is torch.strided and not (one.is_quantized or two.is_quantized):
            worst = max(worst, _leaf_error(one, two))
    return worst if len(a.leaves) == len(b.leaves) and worst >= 0 else math.nan


def noise_limit(a: Flat, b: Flat) -> float:
    """`NOISE` eps of the coarsest floating dtype on either side; 0 where nothing is floating."""
    dtypes = {one.dtype for _, one in (*a.leaves, *b.leaves) if one.dtype.is_floating_point or one.dtype.is_complex}
    return max((NOISE * torch.finfo(dtype).eps for dtype in dtypes), default=0.0)


@torch.no_grad()
def _leaf_error(a: torch.Tensor, b: torch.Tensor) -> float:
    if a.dtype == b.dtype and a.device == b.device and torch.equal(a, b):
        return 0.0
    difference = scale = 0.0
    for one, two in zip(_pieces(a), _pieces(b)):  # noqa: B905 (of one shape)
        wide = _wide(one)
        delta = _squares(_wide(two.to(one.device)) - wide)
        size = _squares(wide)
        if not (math.isfinite(delta) and math.isfinite(size)):
            delta, size = _around_what_is_not_finite(wide, _wide(two.to(one.device)))
        difference, scale = difference + delta, scale + size
    if not math.isfinite(difference):
        return math.inf
    if difference == 0:
        return 0.0
    return math.sqrt(difference / scale) if scale > 0 else math.inf


def _squares(tensor: torch.Tensor) -> float:
    length = float(torch.linalg.vector_norm(tensor))
    return length * length  # a power would raise where this is infinite


def _around_what_is_not_finite(a: torch.Tensor, b: torch.Tensor) -> tuple[float, float]:
    """The same infinity, and NaN on both sides, are no difference."""
    same = (a == b) | (a.isnan() & b.isnan())
    delta = torch.where(same, torch.zeros_like(a), b - a)
    if not bool(delta.isfinite().all()):
        return math.inf, 0.0
    return _squares(delta), _squares(torch.where(a.isfinite(), a, torch.zeros_like(a)))


def _pieces(tensor: torch.Tensor) -> list[torch.Tensor]:
    if tensor.dim() == 0 or tensor.numel() <= _PIECE:
        return [tensor.detach()]
    rows = max(1, _PIECE * tensor.shape[0] // tensor.numel())
    return [
        part for piece in torch.split(tensor.detach(), rows) for part in ([piece] if rows > 1 else _pieces(piece[0]))
    ]


def _wide(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.to(torch.complex128 if tensor.dtype.is_complex else torch.float64)
