"""What an answer is made of, with plain objects and bare numbers taken apart: the tensors of a cache by their names.

Carried into a bundle's verify.py: torch and the standard library only.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import torch

_PARTS_DEPTH = 8
"""Objects within each other that are opened."""

_PARTS_NUMBERS = {
    bool: torch.bool, int: torch.int64, float: torch.float64,
    torch.SymBool: torch.bool, torch.SymInt: torch.int64, torch.SymFloat: torch.float64,
}  # fmt: skip


def open_parts(value: Any, depth: int = 0) -> Any:
    """`value` with a dict of its attributes in place of each plain object that holds tensors, such as a cache.

    Containers become plain ones with the same paths; everything else stays what it is.
    """
    if isinstance(value, torch.Tensor) or depth > _PARTS_DEPTH:
        return value
    if isinstance(value, Mapping):
        return {key: open_parts(part, depth + 1) for key, part in value.items()}
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return {name: open_parts(part, depth + 1) for name, part in zip(value._fields, value)}  # noqa: B905 (one each)
    if isinstance(value, (tuple, list)):
        return [open_parts(part, depth + 1) for part in value]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: open_parts(getattr(value, field.name), depth + 1) for field in dataclasses.fields(value)}
    if isinstance(value, (type, torch.nn.Module, torch.Generator)) or not hasattr(value, "__dict__"):
        return value
    parts = {name: open_parts(part, depth + 1) for name, part in vars(value).items()}
    parts = {name: part for name, part in parts.items() if holds_tensors(part)}
    return parts or value


def holds_tensors(value: Any) -> bool:
    """Whether there is a tensor in it, or in the containers in it."""
    if isinstance(value, (dict, list)):
        return any(holds_tensors(part) for part in (value.values() if isinstance(value, dict) else value))
    return isinstance(value, torch.Tensor)


def number_tensor(value: Any) -> torch.Tensor | None:
    """A bare number as a tensor without dimensions, also one that is symbolic during an export; else None."""
    dtype = _PARTS_NUMBERS.get(type(value))
    return torch.scalar_tensor(value, dtype=dtype) if dtype is not None else None
