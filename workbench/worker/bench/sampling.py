"""Tensors from specs and from given values: seeded by generators of its own, never by the global ones.

Owns how a sample is drawn; which inputs there are is `inputs.py`'s business.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from workbench.protocol.spec import COMPLEX, FLOATING, NORMAL, ONES, InputSpec

JITTER = 0.05
"""A given float tensor is moved by this share of its standard deviation when another seed asks for another sample."""


def draw(spec: InputSpec, shape: tuple[int, ...], seed: int, scale: float) -> torch.Tensor:
    """A CPU tensor of `shape` and the spec's dtype.

    Floats: as the spec says, else standard normal times `scale`, or uniform in the spec's range (which `scale` never
    leaves). Integers: uniform in the range, inclusive; without one 0..1, and 0..255 for uint8. Booleans: a fair coin,
    except that the first entry of each last-dimension row is True and the last False: no row of a mask is all one
    value. Elements with a value of their own have it in every sample that is large enough to have them.
    """
    made = _filled(spec, shape, seed) if spec.fill else _usual(spec, shape, seed, scale)
    for index, value in spec.elements:
        if all(one < size for one, size in zip(index, shape)):  # noqa: B905 (one each)
            made[index] = value
    return made


def _filled(spec: InputSpec, shape: tuple[int, ...], seed: int) -> torch.Tensor:
    dtype: torch.dtype = getattr(torch, spec.dtype)
    if spec.fill == NORMAL:
        wide = dtype if spec.dtype in (*COMPLEX, "float64") else torch.float32
        generator = torch.Generator().manual_seed(seed)
        made = torch.randn(shape, generator=generator, dtype=wide).mul_(spec.std).add_(spec.mean).to(dtype)
    else:
        made = torch.full(shape, 1 if spec.fill == ONES else 0, dtype=dtype)
    if spec.low is not None and spec.high is not None:  # a domain that a policy declared for it
        made.clamp_(spec.low, spec.high)
    return made


def _usual(spec: InputSpec, shape: tuple[int, ...], seed: int, scale: float) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    dtype: torch.dtype = getattr(torch, spec.dtype)
    if spec.dtype in FLOATING:
        wide = torch.float64 if dtype == torch.float64 else torch.float32
        if spec.low is None or spec.high is None:
            return torch.randn(shape, generator=generator, dtype=wide).mul_(scale).to(dtype)
        values = torch.rand(shape, generator=generator, dtype=wide).mul_(spec.high - spec.low).add_(spec.low)
        return values.mul_(scale).clamp_(spec.low, spec.high).to(dtype)
    if spec.dtype in COMPLEX:
        return torch.randn(shape, generator=generator, dtype=dtype).mul_(scale)
    if spec.dtype == "bool":
        coin = torch.rand(shape, generator=generator) < 0.5
        if shape and shape[-1] > 1:
            coin[..., 0], coin[..., -1] = True, False
        return coin
    low = 0 if spec.low is None else int(spec.low)
    high = (255 if spec.dtype == "uint8" else 1) if spec.high is None else int(spec.high)
    return torch.randint(low, high + 1, shape, generator=generator, dtype=dtype)


def vary(value: torch.Tensor, seed: int, scale: float, batch: tuple[int, int] | None) -> torch.Tensor:
    """Another sample like the given one: rows in another order, floats jittered by `JITTER` and scaled.

    `batch` is (present size, wanted size) when the first dimension counts rows; rows are repeated where there are
    too few. Integers of more than two values are drawn from those given; masks and booleans keep their rows.
    """
    generator = torch.Generator().manual_seed(seed)
    if batch is not None and value.dim() and value.shape[0] == batch[0] and batch[0] > 0:
        order = torch.randperm(batch[0], generator=generator)
        value = value[order[torch.arange(batch[1]) % batch[0]]]
    if not value.is_floating_point() and value.dtype != torch.bool and len(torch.unique(value)) > 2:
        given = value.flatten()
        value = given[torch.randint(given.numel(), value.shape, generator=generator)]
    if value.is_floating_point() and value.numel() > 1:
        noise = torch.randn(value.shape, generator=generator)
        value = value + (noise * (JITTER * value.float().std())).to(value.dtype)
    return value * scale if value.is_floating_point() and scale != 1.0 else value


def resize(value: torch.Tensor, batch: tuple[int, int]) -> torch.Tensor:
    """The given rows in their order, cut or repeated to `batch[1]`; as it is when its rows are not `batch[0]`."""
    if not value.dim() or value.shape[0] != batch[0] or batch[0] == 0 or batch[0] == batch[1]:
        return value
    return value[torch.arange(batch[1]) % batch[0]]


def map_tensors(value: Any, function: Callable[[torch.Tensor], Any]) -> Any:
    """`value` (tensors in lists, tuples and dicts) with `function` done to each tensor."""
    return map_leaves(value, function, torch.Tensor)


def map_leaves(value: Any, function: Callable[[Any], Any], kind: type | tuple[type, ...]) -> Any:
    """`value` (lists, tuples and dicts) with `function` done to each leaf of this kind."""
    if isinstance(value, kind):
        return function(value)
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*(map_leaves(item, function, kind) for item in value))
    if isinstance(value, (list, tuple)):
        return type(value)(map_leaves(item, function, kind) for item in value)
    if isinstance(value, dict):
        return {key: map_leaves(item, function, kind) for key, item in value.items()}
    return value


def map_each(value: Any, function: Callable[[torch.Tensor], Any]) -> Any:
    """`map_tensors`, with a tensor that stands at several places mapped once: modules ask `query is key`."""
    known: dict[int, Any] = {}

    def once(tensor: torch.Tensor) -> Any:
        if id(tensor) not in known:
            known[id(tensor)] = function(tensor)
        return known[id(tensor)]

    return map_tensors(value, once)


def tensors_in(value: Any) -> list[torch.Tensor]:
    """Every tensor in lists, tuples and dicts, in order."""
    found: list[torch.Tensor] = []
    map_tensors(value, found.append)
    return found
