"""Which known function of eager's answer an artifact's answer is: another order, shape, dtype, activation or scale.

Pure: tensors in, words out. A relation is named only when it holds in every case that is given, and only where the
answers are not eager's own already. Never changes a tensor.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterator, Sequence

import torch

from workbench.worker.artifact.naming_rounded import rounded_values

Pairs = Sequence[tuple[torch.Tensor, torch.Tensor]]
"""(eager's answer, the artifact's) of one leaf in several cases."""

_CLOSE = {torch.float16: 1e-2, torch.bfloat16: 5e-2}
"""Largest |Δ| relative to the RMS that a relation may leave, for dtypes coarser than float32."""

_CLOSE_USUAL = 2e-4
"""The same for all others: kernels sum in another order, and an activation adds its own rounding."""

_MOST = 1 << 22
"""Elements of a leaf that is looked at; a larger one is not explained."""

_MOST_COLUMNS = 4096
"""Positions of a dimension whose order is looked for."""


def alike(wanted: torch.Tensor, found: torch.Tensor) -> bool:
    """Whether two tensors of one shape hold the same values, as far as rounding goes."""
    if wanted.shape != found.shape or not _ordinary(wanted, found):
        return False
    if not wanted.numel():
        return True
    tolerance = max(_CLOSE.get(one.dtype, _CLOSE_USUAL) for one in (wanted, found))
    a, b = _wide(wanted), _wide(found)
    finite = torch.isfinite(a)
    if not torch.equal(finite, torch.isfinite(b)) or not finite.any():
        return False
    a, b = a[finite], b[finite]
    scale = a.square().mean().sqrt().item()
    return bool((a - b).abs().max().item() <= tolerance * max(scale, 1e-30))


def relation(pairs: Pairs) -> str:
    """What the artifact's answer is, in words about "eager's"; empty when no known function of it fits every case."""
    pairs = [(eager, found) for eager, found in pairs if 0 < eager.numel() <= _MOST and _ordinary(eager, found)]
    if not pairs:
        return ""
    if all(alike(*pair) for pair in pairs):
        return _dtype_only(pairs) or rounded_values(pairs)
    for look in (
        _dtype_only,
        rounded_values,
        _reshaped,
        _pointwise,
        _reordered,
        _affine,
        _along,
        _missing,
        _constant,
        _rows,
    ):
        if words := look(pairs):
            return words
    return ""


def swapped(eager: Sequence[Sequence[torch.Tensor]], found: Sequence[Sequence[torch.Tensor]]) -> list[int] | None:
    """For each leaf of the artifact, which of eager's leaves it holds; None when that is not another order of them.

    `eager` and `found` hold the leaves of each case.
    """
    count = len(found[0]) if found else 0
    if not count or any(len(one) != count for one in found) or len(eager[0]) < 2 or len(eager[0]) > 64:
        return None
    order: list[int] = []
    for place in range(count):
        fits = [
            other
            for other in range(len(eager[0]))
            if all(alike(mine[other], its[place]) for mine, its in zip(eager, found))  # noqa: B905 (one a case)
        ]
        if not fits:
            return None
        free = [one for one in fits if one not in order] or fits
        order.append(place if place in free else free[0])
    return order if order != list(range(len(eager[0]))) else None


def _ordinary(*tensors: torch.Tensor) -> bool:
    return all(one.layout is torch.strided and not one.is_quantized and not one.is_complex() for one in tensors)


def _wide(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.detach().to(torch.float64)


def _fits(pairs: Pairs, function: Callable[[torch.Tensor], torch.Tensor]) -> bool:
    """Whether the artifact's answer is `function` of eager's in every case."""
    try:
        return all(alike(function(_wide(eager)), found) for eager, found in pairs)
    except (RuntimeError, IndexError, ValueError):
        return False  # not defined for these shapes


def _dims(pairs: Pairs) -> list[int]:
    """Dimensions from the last to the first; negative, as all cases have the same number of them."""
    rank = min(eager.dim() for eager, _ in pairs)
    return [-1 - place for place in range(rank)]


def _dtype_only(pairs: Pairs) -> str:
    eager, found = pairs[0]
    if eager.dtype != found.dtype and all(alike(*pair) for pair in pairs):
        return f"eager's values, given as {_name(found)} in place of {_name(eager)}"
    if eager.is_floating_point() and not found.is_floating_point():
        for function, words in ((torch.round, "rounded"), (torch.trunc, "cut off")):
            if _fits(pairs, function):
                return f"eager's values {words} to {_name(found)}"
    return ""


def _reshaped(pairs: Pairs) -> str:
    eager, found = pairs[0]
    if any(one.numel() != other.numel() for one, other in pairs):
        return ""
    for order in _orders(eager.dim()):
        if _fits(pairs, functools.partial(torch.permute, dims=order)):
            return f"eager's values with dimensions permuted to {tuple(order)}"
    if eager.shape != found.shape and all(alike(one.reshape(other.shape), other) for one, other in pairs):
        return f"eager's values in the shape {list(found.shape)} in place of {list(eager.shape)}"
    return ""


def _orders(rank: int) -> Iterator[tuple[int, ...]]:
    if 2 <= rank <= 4:
        yield from (order for order in itertools.permutations(range(rank)) if order != tuple(range(rank)))


def _pointwise(pairs: Pairs) -> str:
    """A function of each element that the artifact has and eager has not. That of two logarithms the exact one is
    meant where `exp` of the answer is eager's: what a softmax is of is known but for a summand."""
    found = _turned(pairs)
    if _fits(pairs, torch.log) or _fits(found, torch.exp):
        return "the logarithm of eager's values"
    for name, function in _POINTWISE:
        if _fits(pairs, function):
            return f"{name} of eager's values"
    return ""


def _along(pairs: Pairs) -> str:
    """A function along a dimension that the artifact has and eager has not."""
    for dim in _dims(pairs):
        for name, function in _ALONG:
            if _fits(pairs, functools.partial(function, dim=dim)):
                return f"{name} of eager's values, along dimension {dim}"
    return ""


def _missing(pairs: Pairs) -> str:
    """A function that eager has and the artifact has not. Several values come to the same, so this is asked last."""
    found = _turned(pairs)
    for name, function in _POINTWISE:
        if _fits(found, function):
            return f"what eager's are the {name} of: the {name} is missing"
    for dim in _dims(pairs):
        for name, function in _ALONG:
            if "arg" not in name and _fits(found, functools.partial(function, dim=dim)):
                return f"what eager's are the {name} of, along dimension {dim}: the {name} is missing"
    return ""


def _turned(pairs: Pairs) -> Pairs:
    return [(found, eager) for eager, found in pairs]


def _standardised(value: torch.Tensor, dim: int) -> torch.Tensor:
    free = min(1, value.shape[dim] - 1)  # one value has no spread, and torch warns when it is asked for one
    return (value - value.mean(dim, True)) / value.std(dim, correction=free, keepdim=True)


_ALONG: tuple[tuple[str, Callable[..., torch.Tensor]], ...] = (
    ("softmax", torch.softmax),
    ("log_softmax", torch.log_softmax),
    ("argmax", torch.argmax),
    ("argmax (kept dimension)", lambda value, dim: torch.argmax(value, dim, keepdim=True)),
    ("maximum", torch.amax),
    ("mean", torch.mean),
    ("sum", torch.sum),
    ("unit-length form", lambda value, dim: torch.nn.functional.normalize(value, dim=dim)),
    ("standardised form", _standardised),
)
"""Functions along a dimension."""

_POINTWISE: tuple[tuple[str, Callable[[torch.Tensor], torch.Tensor]], ...] = (
    ("sigmoid", torch.sigmoid),
    ("tanh", torch.tanh),
    ("relu", torch.relu),
    ("exp", torch.exp),
    ("square", torch.square),
    ("absolute value", torch.abs),
    ("gelu", torch.nn.functional.gelu),
    ("clamp to 0..1", lambda value: value.clamp(0, 1)),
    ("clamp to 0..6", lambda value: value.clamp(0, 6)),
)


def _reordered(pairs: Pairs) -> str:
    """The same values along one dimension in another order, which is the same in every case."""
    for dim in _dims(pairs):
        size = pairs[0][0].shape[dim]
        if not 2 <= size <= _MOST_COLUMNS or any(
            one.shape != other.shape or one.shape[dim] != size for one, other in pairs
        ):
            continue
        if _fits(pairs, functools.partial(torch.flip, dims=(dim,))):
            return f"eager's values in reverse along dimension {dim}"
        order = _order_along(*pairs[0], dim)
        if order is not None and _fits(pairs, functools.partial(torch.index_select, dim=dim, index=order)):
            moved = [f"{place} holds {other}" for place, other in enumerate(order.tolist()) if place != other]
            more = f", and {len(moved) - 4} more" if len(moved) > 4 else ""
            return f"eager's values in another order along dimension {dim}: {', '.join(moved[:4])}{more}"
    return ""


def _order_along(eager: torch.Tensor, found: torch.Tensor, dim: int) -> torch.Tensor | None:
    """For each position of `found` along `dim` the nearest of `eager`'s; None unless each is taken once."""
    size = eager.shape[dim]
    mine = _wide(eager).movedim(dim, 0).reshape(size, -1)[:, :512]
    its = _wide(found).movedim(dim, 0).reshape(size, -1)[:, :512]
    if not (torch.isfinite(mine).all() and torch.isfinite(its).all()):
        return None
    order = torch.cdist(its, mine).argmin(1)
    return order if len(set(order.tolist())) == size else None


def _affine(pairs: Pairs) -> str:
    """One factor, one summand, or both, over all elements of all cases."""
    if any(eager.shape != found.shape for eager, found in pairs):
        return ""
    mine = torch.cat([_wide(eager).reshape(-1) for eager, _ in pairs])
    its = torch.cat([_wide(found).reshape(-1) for _, found in pairs])
    finite = torch.isfinite(mine) & torch.isfinite(its)
    mine, its = mine[finite], its[finite]
    if mine.numel() < 4 or float(mine.std()) == 0:
        return ""
    if _still(its):
        return ""
    scale = float((mine * its).sum() / mine.square().sum())
    if scale and _fits(pairs, lambda value: value * scale):
        return "eager's values negated" if abs(scale + 1) < 1e-6 else f"{scale:.6g} times eager's values"
    shift = float((its - mine).mean())
    if _fits(pairs, lambda value: value + shift):
        return f"eager's values and {shift:+.6g}"
    slope = float(((mine - mine.mean()) * (its - its.mean())).sum() / (mine - mine.mean()).square().sum())
    rest = float(its.mean() - slope * mine.mean())
    if slope and _fits(pairs, lambda value: value * slope + rest):
        return f"{slope:.6g} times eager's values, {rest:+.6g}"
    return ""


def _constant(pairs: Pairs) -> str:
    """One number throughout, where eager's vary."""
    if any(eager.shape != found.shape for eager, found in pairs):
        return ""
    mine, its = (torch.cat([_wide(pair[side]).reshape(-1) for pair in pairs]) for side in (0, 1))
    finite = torch.isfinite(mine) & torch.isfinite(its)
    mine, its = mine[finite], its[finite]
    if mine.numel() < 4 or float(mine.std()) == 0 or not _still(its):
        return ""
    return f"the constant {float(its[0]):g}, whatever the input"


def _still(values: torch.Tensor) -> bool:
    """Whether all values are one number, as far as rounding goes."""
    return float(values.std()) <= 1e-12 * float(values.abs().max())


def _rows(pairs: Pairs) -> str:
    """Only some rows are eager's."""
    several = [(one, other) for one, other in pairs if one.shape == other.shape and one.dim() and one.shape[0] > 1]
    if not several:
        return ""
    same = [[alike(mine, its) for mine, its in zip(one, other)] for one, other in several]  # noqa: B905 (one shape)
    if all(rows[0] and not any(rows[1:]) for rows in same):
        if all(alike(other[0].expand_as(other), other) for _, other in several):
            return "eager's first row, repeated for every other"
        return "eager's in the first row alone"
    for ahead in (1, -1):
        if all(alike(one.roll(ahead, 0), other) for one, other in several):
            return "eager's rows moved by one"
    return ""


def _name(tensor: torch.Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")
