"""The error of one set of tensors against another, relative to the RMS of the reference. Pure, in bounded memory."""

from __future__ import annotations

import math

import torch

from workbench.worker.judge.aligning import align, align_obstacle
from workbench.worker.judge.chunks import Wide, chunk_plus, chunk_real, chunk_rescaled, chunk_root
from workbench.worker.judge.leaves import Flat
from workbench.worker.judge.pieces import is_plain_tensor, shape_of

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
        if path != other or shape_of(one) != shape_of(two):
            return math.nan
        pair = _beside(one, two)
        worst = max(worst, _leaf_error(*pair)) if pair else worst
    return worst if len(a.leaves) == len(b.leaves) and worst >= 0 else math.nan


def noise_limit(a: Flat, b: Flat) -> float:
    """`NOISE` eps of the coarsest floating dtype on either side; 0 where nothing is floating."""
    dtypes = {one.dtype for _, one in (*a.leaves, *b.leaves) if one.dtype.is_floating_point or one.dtype.is_complex}
    return max((NOISE * torch.finfo(dtype).eps for dtype in dtypes), default=0.0)


def _beside(a: torch.Tensor, b: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor] | None:
    """Both as plain tensors of the same places: what is quantised as what it stands for; None where nothing can be
    read or laid beside the other."""
    a, b = (one.detach().dequantize() if one.is_quantized else one.detach() for one in (a, b))
    if is_plain_tensor(a) and is_plain_tensor(b):
        return a, b
    if align_obstacle(a) or align_obstacle(b):
        return None
    try:
        both = align(a, b.to(a.device))
    except (RuntimeError, NotImplementedError):  # a dtype that lacks a kernel
        return None
    return None if both.words else (both.a, both.b)


@torch.no_grad()
def _leaf_error(a: torch.Tensor, b: torch.Tensor) -> float:
    if a.dtype == b.dtype and a.device == b.device and torch.equal(a, b):
        return 0.0
    wide = any(one.dtype in (torch.float64, torch.complex128) for one in (a, b))
    difference, scale = (0.0, 0), (0.0, 0)
    for one, two in zip(_pieces(a), _pieces(b)):  # noqa: B905 (of one shape)
        reference, other = chunk_real(one), chunk_real(two.to(one.device))
        delta, size = _squares(other - reference, wide), _squares(reference, wide)
        if not (math.isfinite(delta[0]) and math.isfinite(size[0])):
            distance, reference = _around_what_is_not_finite(reference, other)
            delta, size = _squares(distance, wide), _squares(reference, wide)
            if not math.isfinite(delta[0]):
                return math.inf
        difference, scale = chunk_plus(difference, delta), chunk_plus(scale, size)
    if difference[0] == 0.0:
        return 0.0
    if scale[0] == 0.0:
        return math.inf
    ratio = difference[0] / scale[0], difference[1] - scale[1]
    return chunk_root(ratio, 1)


def _squares(tensor: torch.Tensor, wide: bool) -> Wide:
    """Sum of |v|², in a range that float64's own squares leave where the numbers themselves are float64."""
    scaled, power = chunk_rescaled(tensor, wide)
    length = float(torch.linalg.vector_norm(scaled))
    return length * length, 2 * power


def _around_what_is_not_finite(a: torch.Tensor, b: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """(b - a, a) where the same infinity, and NaN on both sides, are no difference and have no size."""
    same = (a == b) | (a.isnan() & b.isnan())
    return torch.where(same, torch.zeros_like(a), b - a), torch.where(a.isfinite(), a, torch.zeros_like(a))


def _pieces(tensor: torch.Tensor) -> list[torch.Tensor]:
    if tensor.dim() == 0 or tensor.numel() <= _PIECE:
        return [tensor.detach()]
    rows = max(1, _PIECE * tensor.shape[0] // tensor.numel())
    return [
        part for piece in torch.split(tensor.detach(), rows) for part in ([piece] if rows > 1 else _pieces(piece[0]))
    ]
