"""What a forward can reach outside of its modules: variables of its file, of a function around it, of its class.

Generators of every make are told and put back here too. It never runs the model, and follows no value.
"""

from __future__ import annotations

import contextlib
import inspect
import os
import random
import sys
from collections.abc import Iterator
from types import CellType, FunctionType, ModuleType
from typing import Any

import torch
from torch import nn

from workbench.worker.bench.failing import is_users

GONE = object()
"""In the place of a value that is not there."""

_DATA = (bool, int, float, complex, str, bytes, type(None), dict, list, set, tuple, torch.Tensor, nn.Module)


def outside(model: nn.Module) -> Iterator[tuple[str, Any, str, Any]]:
    """(name, holder, key, value) of the variables that the forwards of the user's classes can reach.

    The holder is a dictionary of global variables, the cell of an enclosing function, or a class. Modules, classes and
    functions are left out.
    """
    seen: set[int] = set()
    for kind in dict.fromkeys(type(module) for module in model.modules()):
        for base in kind.__mro__:
            if id(base) in seen or base.__module__.partition(".")[0] in ("torch", "builtins"):
                continue
            seen.add(id(base))
            for key, value in list(vars(base).items()):
                if not key.startswith("__") and _is_data(value):
                    yield f"{base.__name__}.{key}", base, key, value
            for function in _functions(base):
                yield from _around(function, base, seen)


def held_under(holder: Any, key: str) -> Any:
    """The value of a variable now; `GONE` when there is none."""
    if isinstance(holder, CellType):
        try:
            return holder.cell_contents
        except ValueError:
            return GONE
    return (holder if isinstance(holder, dict) else vars(holder)).get(key, GONE)


def put_under(holder: Any, key: str, value: Any) -> None:
    """Give a variable this value."""
    if isinstance(holder, CellType):
        holder.cell_contents = value
    elif isinstance(holder, dict):
        holder[key] = value
    else:
        setattr(holder, key, value)


def generator_state(value: Any) -> Any:
    """The state of a generator of torch's, Python's or numpy's; None for everything else."""
    if isinstance(value, torch.Generator):
        return value.get_state()
    if type(value) is random.Random:
        return value.getstate()
    numpy_random = sys.modules.get("numpy.random")
    if numpy_random is not None and isinstance(value, numpy_random.RandomState):
        return value.get_state(legacy=False)
    if numpy_random is not None and isinstance(value, numpy_random.Generator):
        return value.bit_generator.state
    return None


def set_generator_state(generator: Any, state: Any) -> None:
    """Make a generator continue from a state of `generator_state`."""
    if isinstance(generator, torch.Generator):
        generator.set_state(state)
    elif type(generator) is random.Random:
        generator.setstate(state)
    elif hasattr(generator, "bit_generator"):
        generator.bit_generator.state = state
    else:
        generator.set_state(state)


def same_state(a: Any, b: Any) -> bool:
    """Whether two states of one generator are the same."""
    return torch.equal(a, b) if isinstance(a, torch.Tensor) else bool(_with_bytes(a) == _with_bytes(b))


def _with_bytes(state: Any) -> Any:
    """The same with arrays as bytes, which `==` compares."""
    if isinstance(state, dict):
        return {key: _with_bytes(value) for key, value in state.items()}
    return state.tobytes() if hasattr(state, "tobytes") else state


def _around(function: Any, owner: type, seen: set[int]) -> Iterator[tuple[str, Any, str, Any]]:
    code = function.__code__
    for key, cell in zip(code.co_freevars, function.__closure__ or ()):  # noqa: B905
        if id(cell) in seen or key == "__class__":
            continue
        seen.add(id(cell))
        with contextlib.suppress(ValueError):  # not bound yet
            if _is_data(cell.cell_contents):
                yield f"{key} (around {owner.__name__})", cell, key, cell.cell_contents
    if id(function.__globals__) in seen:
        return
    seen.add(id(function.__globals__))
    for key, value in list(function.__globals__.items()):
        if not key.startswith("__") and _is_data(value):
            yield f"{key} ({os.path.basename(code.co_filename)})", function.__globals__, key, value


def _functions(kind: type) -> Iterator[Any]:
    """The user's own functions among the attributes of a class."""
    for value in vars(kind).values():
        function = inspect.unwrap(value) if isinstance(value, FunctionType) else None
        code = getattr(function, "__code__", None)
        if code is not None and is_users(code.co_filename):
            yield function


def _is_data(value: Any) -> bool:
    if isinstance(value, _DATA) or generator_state(value) is not None:
        return True
    foreign = str(type(value).__module__).partition(".")[0] in sys.stdlib_module_names
    return not isinstance(value, (ModuleType, type)) and not callable(value) and not foreign
