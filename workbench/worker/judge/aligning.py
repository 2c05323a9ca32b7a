"""Owns how two tensors that are not plain are laid beside each other, so that plain ones stand for them.

Carried into a bundle's verify.py: standard library and torch only. Of sparse tensors it takes the stored values at the
places that either side stores, of quantised ones the integers, of nested ones the elements of all components.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from workbench.worker.judge.pieces import pieces, quantiser, shape_of

Place = tuple[int, ...]


@dataclass(frozen=True)
class Aligned:
    """Two tensors as plain ones of the same places; or why no values need to be looked at."""

    words: str = ""
    """How they differ whatever their values; empty where values decide."""
    a: torch.Tensor = torch.empty(0)  # noqa: RUF009 (never written to)
    b: torch.Tensor = torch.empty(0)  # noqa: RUF009
    place: Callable[[Place], Place] = tuple
    """From a place in `a` and `b` to the place in the tensors that they stand for; of a nested one its component
    comes first."""


def align_obstacle(tensor: torch.Tensor) -> str:
    """Why its values cannot be read at all; empty where they can."""
    if tensor.is_meta:
        return "on the meta device: it has no values"
    if not (tensor.is_nested or tensor.is_quantized or tensor.layout is torch.strided or _align_sparse(tensor)):
        return f"a tensor of layout {_align_layout(tensor)}: call .to_dense() to compare it"
    return ""


def align(a: torch.Tensor, b: torch.Tensor) -> Aligned:
    """Both laid beside each other; neither has an obstacle, and their dtypes agree. Raises what torch raises where a
    dtype lacks the kernel for it."""
    if (a.is_nested, a.layout) != (b.is_nested, b.layout):
        return Aligned(f"layout {_align_layout(a)} against {_align_layout(b)}")
    one, other = shape_of(a), shape_of(b)
    if one != other:
        words = [shape if isinstance(shape, str) else str(list(shape)) for shape in (one, other)]
        return Aligned(f"shape {words[0]} against {words[1]}")
    if a.is_nested:
        return _align_nested(a, b)
    if a.is_quantized:
        return _align_quantised(a, b)
    return _align_stored(a, b) if _align_sparse(a) else Aligned("", a, b)


def _align_sparse(tensor: torch.Tensor) -> bool:
    return str(tensor.layout).startswith("torch.sparse")


def _align_layout(tensor: torch.Tensor) -> str:
    name = str(tensor.layout).removeprefix("torch.").removeprefix("_")
    return f"nested {name}" if tensor.is_nested else name


def _align_nested(a: torch.Tensor, b: torch.Tensor) -> Aligned:
    parts = [part for _, part in pieces(a)]
    shapes, starts = [tuple(part.shape) for part in parts], [0]
    for part in parts:
        starts.append(starts[-1] + part.numel())

    def place(index: Place) -> Place:
        component = max(at for at, start in enumerate(starts) if start <= index[0] and start < starts[-1])
        rest = torch.unravel_index(torch.tensor(index[0] - starts[component]), shapes[component])
        return component, *(int(one) for one in rest)

    flat = [torch.cat([part.reshape(-1) for _, part in pieces(side)]) for side in (a, b)] if parts else [a.values()] * 2
    return Aligned("", flat[0], flat[1], place)


def _align_quantised(a: torch.Tensor, b: torch.Tensor) -> Aligned:
    if a.qscheme() != b.qscheme():
        return Aligned(f"quantised {a.qscheme()} against {b.qscheme()}")
    for (name, one), (_, other) in zip(quantiser(a), quantiser(b)):  # noqa: B905 (of one scheme)
        if not torch.equal(one, other):
            return Aligned(f"{name} {one.tolist()} against {other.tolist()}"[:200])
    return Aligned("", a.int_repr(), b.int_repr())


def _align_stored(a: torch.Tensor, b: torch.Tensor) -> Aligned:
    """Values at every place that one of them stores; zero where the other stores none."""
    one, other = (_align_coordinates(side) for side in (a, b))
    indices, values_a, values_b = one.indices(), one.values(), other.values()
    if one.indices().shape != other.indices().shape or not torch.equal(one.indices(), other.indices()):
        lines = [_align_lines(side) for side in (one, other)]
        every = torch.unique(torch.cat([lines[0], lines[1].to(one.device)]))
        # copied to their places, for to add a zero makes NaN of a complex infinity
        values_a, values_b = (
            values.new_zeros(len(every), *values.shape[1:]).index_copy(
                0, torch.searchsorted(every.to(line.device), line), values
            )
            for values, line in zip((values_a, values_b), lines)  # noqa: B905 (two of each)
        )
        indices = torch.stack(torch.unravel_index(every, one.shape[: one.sparse_dim()]))

    def place(index: Place) -> Place:
        return (*(int(axis) for axis in indices[:, index[0]]), *index[1:])

    return Aligned("", values_a, values_b, place)


def _align_coordinates(tensor: torch.Tensor) -> torch.Tensor:
    return tensor if tensor.layout is torch.sparse_coo and tensor.is_coalesced() else tensor.to_sparse().coalesce()


def _align_lines(tensor: torch.Tensor) -> torch.Tensor:
    """Every stored place as one number, in the order of the places; [stored values]."""
    line = torch.zeros_like(tensor.indices()[0])
    for axis, size in zip(tensor.indices(), tensor.shape):  # noqa: B905 (dense dimensions come last)
        line = line * size + axis
    return line
