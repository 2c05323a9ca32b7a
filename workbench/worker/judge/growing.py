"""How much the attributes of a model's modules hold, so that what grows with every run is known by its name.

Reads sizes and keeps none of the values. Parameters and buffers count too: a cache may be one.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from workbench.worker.judge.held_outside import caches
from workbench.worker.judge.pieces import bytes_of

DEPTH = 3
"""Containers within each other that are measured."""
MOST = 10_000
"""Items of one attribute that are measured."""
_OWN = frozenset(vars(nn.Module())) - {"_buffers", "_parameters"}
"""What nn.Module keeps for itself."""


@dataclass(frozen=True)
class Size:
    """What one attribute holds."""

    bytes: int
    """Of its tensors."""
    items: int
    """Of its containers."""
    words: str
    """ "float32[4, 17, 8]", "17 items"."""


def sizes(model: nn.Module) -> dict[str, Size]:
    """By "body.past", for every attribute that is a tensor or a container, and every functools.lru_cache in reach."""
    found = {}
    for path, module in model.named_modules():
        for name, value in [*vars(module).items(), *module._buffers.items()]:
            if name not in _OWN and (size := _size(value)) is not None:
                found[f"{path}.{name}" if path else name] = size
    for name, cache in caches(model):
        info = cache.cache_info()
        most = "" if info.maxsize is None else f" of at most {info.maxsize}"
        found[name] = Size(0, info.currsize, f"{info.currsize} items{most}")
    return found


def growing(early: dict[str, Size], middle: dict[str, Size], late: dict[str, Size]) -> dict[str, tuple[Size, Size]]:
    """Name → (middle, late) of what grew from the first to the second, and went on to the third."""
    found = {}
    for name, now in late.items():
        before, first = middle.get(name), early.get(name)
        if before is None or first is None:
            continue
        if first.bytes < before.bytes < now.bytes or first.items < before.items < now.items:
            found[name] = (before, now)
    return found


def _size(value: Any) -> Size | None:
    if isinstance(value, torch.Tensor):
        return Size(_bytes(value), 0, f"{str(value.dtype)[6:]}{list(value.shape)}")
    if not _is_container(value):
        return None
    total, items = _inside(value, DEPTH, [MOST])
    return Size(total, items, f"{len(value)} items" + (f" of {total} bytes" if total else ""))


def _inside(value: Any, depth: int, left: list[int]) -> tuple[int, int]:
    """(bytes, items) in a container; `left` counts down what may still be looked at."""
    parts: Iterable[Any] = value.values() if isinstance(value, Mapping) else value
    total, items = 0, len(value)
    for part in list(parts)[: max(left[0], 0)]:
        left[0] -= 1
        if isinstance(part, torch.Tensor):
            total += _bytes(part)
        elif depth and _is_container(part):
            more, inner = _inside(part, depth - 1, left)
            total, items = total + more, items + inner
    return total, items


def _is_container(value: Any) -> bool:
    return isinstance(value, (list, tuple, dict, set, deque))


def _bytes(tensor: torch.Tensor) -> int:
    return bytes_of(tensor)
