"""Whether two values that modules keep are the same, though their source may have been imported twice.

Owns what can be told of functions, classes and plain objects without calling any of them. Runs nothing of the user's
but the equality of plain values.
"""

from __future__ import annotations

import collections
import enum
import functools
import types
from typing import Any

import torch
from torch import nn

_DEPTH = 8
"""Containers and objects within each other that are followed."""

_SCALARS = (bool, int, float, complex, str, bytes, type(None), torch.dtype, torch.device, torch.layout)
_FUNCTIONS = (types.FunctionType, types.BuiltinFunctionType, types.MethodDescriptorType, types.WrapperDescriptorType)


def alike(one: Any, other: Any, depth: int = 0) -> bool | None:
    """Whether `other` is what `one` is: same values, functions and classes of the same name; None: nobody can tell."""
    if one is other:
        return True
    if kind_of(one) != kind_of(other):
        return False
    if isinstance(one, torch.Tensor):
        return _tensors(one, other)
    if depth > _DEPTH:
        return None
    if type(one) in _SCALARS:
        return bool(one == other) or (one != one and other != other)
    if isinstance(one, (list, tuple, collections.deque)):
        return len(one) == len(other) and _every([alike(a, b, depth + 1) for a, b in zip(one, other)])  # noqa: B905
    if isinstance(one, (set, frozenset)):
        scalars = all(type(part) in _SCALARS for part in (*one, *other))
        return bool(one == other) if scalars else None
    if isinstance(one, dict):
        return _dicts(one, other, depth)
    return _named(one, other, depth)


def kind_of(value: Any) -> tuple[str, str]:
    """Which class it is of, though its source may have been imported twice."""
    return type(value).__module__, type(value).__qualname__


def _named(one: Any, other: Any, depth: int) -> bool | None:
    """Functions, classes, members of enumerations, and objects that are no more than their attributes."""
    if isinstance(one, (type, *_FUNCTIONS)):
        return _functions(one, other, depth)
    if isinstance(one, functools.partial):
        parts = [(value.func, value.args, value.keywords) for value in (one, other)]
        return alike(parts[0], parts[1], depth + 1)
    if isinstance(one, enum.Enum):
        return bool(one.name == other.name)
    if type(one).__module__.startswith("transformers.") and hasattr(one, "to_dict"):
        return alike(_configuration(one), _configuration(other), depth + 1)
    if isinstance(one, torch.Generator):
        return torch.equal(one.get_state(), other.get_state())
    if isinstance(one, (nn.Module, types.MethodType)) or not _is_its_attributes(type(one)):
        return None  # which module it is, and what a type of C's holds, is not told by attributes
    return _dicts(vars(one), vars(other), depth)


def _configuration(config: Any) -> dict[str, Any]:
    """What a configuration of transformers says of the model: which version read it is no part of that."""
    said = {key: value for key, value in config.to_dict().items() if key != "transformers_version"}
    return {**said, "_attn_implementation": getattr(config, "_attn_implementation", None)}


def _functions(one: Any, other: Any, depth: int) -> bool | None:
    names = [(getattr(value, "__module__", None), value.__qualname__) for value in (one, other)]
    if names[0] != names[1]:
        return False
    if "<" not in names[0][1]:
        return None if names[0][0] is None else True  # without a module two different ones may have one name
    if not isinstance(one, types.FunctionType) or one.__code__.co_code != other.__code__.co_code:
        return False
    held = [
        (value.__code__.co_consts, value.__code__.co_names, value.__defaults__, value.__kwdefaults__)
        for value in (one, other)
    ]
    cells = [[cell.cell_contents for cell in value.__closure__ or ()] for value in (one, other)]
    return _every([alike(held[0], held[1], depth + 1), alike(cells[0], cells[1], depth + 1)])


def _is_its_attributes(kind: type) -> bool:
    """Whether an object of a class holds its attributes and nothing else."""
    return all(
        one is object or (one.__module__ != "builtins" and not any(_hidden(one, name) for name in vars(one)))
        for one in kind.__mro__
    ) and any("__dict__" in vars(one) for one in kind.__mro__)


def _hidden(kind: type, name: str) -> bool:
    """Whether a name of a class is a place of its own in each object, outside of its attributes."""
    return isinstance(vars(kind)[name], types.MemberDescriptorType) or name == "__slots__"


def _dicts(one: dict[Any, Any], other: dict[Any, Any], depth: int) -> bool | None:
    if not all(type(key) in _SCALARS or isinstance(key, type) for key in (*one, *other)):
        return None
    if list(one) != list(other) and set(one) != set(other):
        return False
    return _every([alike(value, other[key], depth + 1) for key, value in one.items()])


def _tensors(one: torch.Tensor, other: torch.Tensor) -> bool:
    if one.shape != other.shape or one.dtype != other.dtype or one.layout != other.layout:
        return False
    return torch.equal(one.cpu(), other.cpu())


def _every(found: list[bool | None]) -> bool | None:
    """False where one is; else None where one is."""
    return False if False in found else None if None in found else True
