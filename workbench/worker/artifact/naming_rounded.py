"""How finely an artifact gives eager's values: in a coarser dtype, or to a number of decimals.

Pure: tensors in, words out. Named only where it holds of every value of every case.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

_MOST_DECIMALS = 6

_FEW_VALUES = 3
"""Different values, but for 0, below which nothing is named."""

_CHANCE = 1e-6
"""How probable it may be that numbers of another origin are all so near to multiples of a step: a fine step is near to
every number of float32."""

_LEFT = 2e-4
"""What kernels that sum in another order may leave, as a share of the root mean square."""


def rounded_values(pairs: Sequence[tuple[torch.Tensor, torch.Tensor]]) -> str:
    """ "eager's values rounded to bfloat16" or "… to 2 decimals", of (eager's answer, the artifact's) in several cases;
    empty where neither is so."""
    if any(eager.shape != found.shape or not found.is_floating_point() for eager, found in pairs):
        return ""
    return _dtype(pairs) or _decimals(pairs)


def _dtype(pairs: Sequence[tuple[torch.Tensor, torch.Tensor]]) -> str:
    """For float32 alone: values of the dtype throughout, each half a step from eager's at most."""
    if any(not eager.dtype == found.dtype == torch.float32 for eager, found in pairs):
        return ""
    for dtype in (torch.bfloat16, torch.float16):
        coarse = all(_holds(dtype, eager) for eager, _ in pairs)
        if not coarse and all(_through(dtype, eager.detach(), found.detach()) for eager, found in pairs):
            return f"eager's values rounded to {str(dtype)[6:]}"
    return ""


def _holds(dtype: torch.dtype, values: torch.Tensor) -> bool:
    return torch.equal(values.to(dtype).to(values.dtype), values)


def _through(dtype: torch.dtype, eager: torch.Tensor, found: torch.Tensor) -> bool:
    if not _holds(dtype, found):
        return False
    mine, its = eager.double(), found.double()
    limit = 0.505 * torch.finfo(dtype).eps * mine.abs() + _LEFT * mine.square().mean().sqrt()
    return bool(((its - mine).abs() <= limit).all())


def _decimals(pairs: Sequence[tuple[torch.Tensor, torch.Tensor]]) -> str:
    """A whole multiple of the step each, as near as its dtype can write it, and within half a step of eager's, which
    are no multiples themselves."""
    mine, its = (torch.cat([pair[side].detach().double().reshape(-1) for pair in pairs]) for side in (0, 1))
    finite = torch.isfinite(mine)
    if not torch.equal(finite, torch.isfinite(its)):
        return ""
    mine, its = mine[finite], its[finite]
    eps = 2 * max(torch.finfo(found.dtype).eps for _, found in pairs)
    for digits in range(_MOST_DECIMALS + 1):
        step = 10.0**-digits
        if not _telling(its, eps, step):
            return ""
        written = eps * its.abs()
        multiples = bool((_off(its, step) <= written).all())
        near = bool(((its - mine).abs() <= 0.501 * step + 2 * written).all())
        if multiples and near and float(_off(mine, step).max()) > 0.01 * step:
            return f"eager's values rounded to {digits} decimal{'' if digits == 1 else 's'}"
    return ""


def _telling(values: torch.Tensor, eps: float, step: float) -> bool:
    """Whether that all values are multiples of a step says anything: each is one by chance as often as the places at
    which it would count as one fill the line."""
    ordered = values[values != 0].sort().values
    different = torch.cat([ordered[:1], ordered[1:][ordered.diff() > 0]])
    chances = (2 * eps * different.abs() / step).clamp(max=1.0)
    return different.numel() >= _FEW_VALUES and float(chances.log().sum()) < math.log(_CHANCE)


def _off(values: torch.Tensor, step: float) -> torch.Tensor:
    """How far each value is from the nearest multiple of a step."""
    return (values - (values / step).round() * step).abs()
