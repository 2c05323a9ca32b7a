"""What a forward can reach outside of its modules: variables of its files, of a function around it, of its class, and
attributes of the functions that it calls.

Generators of every make are told and put back here too. It never runs the model, and follows no value.
"""

from __future__ import annotations

import functools
import inspect
import os
import random
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from types import CellType, CodeType, FunctionType, ModuleType
from typing import Any

import torch
from torch import nn

from workbench.worker.bench.failing import is_users

GONE = object()
"""In the place of a value that is not there."""
_CACHE = type(functools.lru_cache(lambda: None))
FUNCTIONS = 2_000
"""Functions of the user's that are followed to what they name."""

_DATA = (bool, int, float, complex, str, bytes, type(None), dict, list, set, tuple, torch.Tensor, nn.Module)


@dataclass(frozen=True, eq=False)
class Place:
    """Something that holds variables outside of the modules."""

    holder: Any
    """A dictionary of global variables, the cell of an enclosing function, a function, or a class."""
    pattern: str
    """The name of one of its variables, with {} in the place of the key."""
    cell: str = ""
    """The one key of a cell."""

    def variables(self) -> list[str]:
        """Keys of those that hold data now."""
        if self.cell:
            value = held_under(self.holder, self.cell)
            return [self.cell] if value is not GONE and _is_data(value) else []
        held = self.holder if isinstance(self.holder, dict) else vars(self.holder)
        return [key for key, value in list(held.items()) if not key.startswith("__") and _is_data(value)]

    def name(self, key: str) -> str:
        return self.pattern.format(key)


@dataclass(frozen=True, eq=False)
class Reached:
    """A function of the user's that a forward may call."""

    owner: str
    """The class it stands in, or its own name."""
    function: Any
    """Without its decorators."""
    cache: Any = None
    """The functools.lru_cache around it; None: none."""

    @property
    def words(self) -> str:
        """ "lru_cache of Net.table (model.py:12)"."""
        return f"lru_cache of {cached_words(self.function)}"


def reached(model: nn.Module) -> list[Reached]:
    """The user's functions that the classes of the modules have, and what these call by name, in turn."""
    seen: set[int] = set()
    found: list[Reached] = []
    waiting = [one for base in _bases(model) for one in _functions(base)]
    while waiting and len(found) < FUNCTIONS:
        one = waiting.pop(0)
        if id(one.function) in seen:
            continue
        seen.add(id(one.function))
        found.append(one)
        waiting += [called for called in _called(one.function) if isinstance(called, Reached)]
    return found


def places(model: nn.Module, functions: list[Reached] | None = None) -> Iterator[Place]:
    """Everything outside of the modules that may hold what a forward reads: found in the code of the user's classes.

    `functions`: what `reached` gives, where it was asked already.
    """
    seen: set[int] = set()
    for base in _bases(model):
        yield Place(base, f"{base.__name__}.{{}}")
    for one in reached(model) if functions is None else functions:
        yield from _around(one.function, one.owner, seen)
        for called in _called(one.function):
            if isinstance(called, ModuleType) and id(called) not in seen:
                seen.add(id(called))
                yield from _globals(vars(called), called.__file__ or "", seen)


def caches(model: nn.Module, functions: list[Reached] | None = None) -> list[tuple[str, Any]]:
    """(name, functools.lru_cache) of those around the functions that a forward may call, and on the modules."""
    found = {id(one.cache): (one.words, one.cache) for one in functions or reached(model) if one.cache is not None}
    for path, module in model.named_modules():
        for name, value in vars(module).items():
            if isinstance(value, _CACHE):
                found.setdefault(id(value), (f"lru_cache {path}.{name}" if path else f"lru_cache {name}", value))
    return list(found.values())


def cached_words(function: Any) -> str:
    """ "Net.table (model.py:12)"."""
    code = function.__code__
    return f"{function.__qualname__} ({os.path.basename(code.co_filename)}:{code.co_firstlineno})"


def held_under(holder: Any, key: str) -> Any:
    """The value of a variable now; `GONE` when there is none."""
    if isinstance(holder, CellType):
        try:
            return holder.cell_contents
        except ValueError:
            return GONE
    return (holder if isinstance(holder, dict) else vars(holder)).get(key, GONE)


def put_under(holder: Any, key: str, value: Any) -> None:
    """Give a variable this value; `GONE`: take it away."""
    if value is GONE:
        if isinstance(holder, CellType):
            del holder.cell_contents
        elif isinstance(holder, dict):
            del holder[key]
        else:
            delattr(holder, key)
    elif isinstance(holder, CellType):
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


def _around(function: Any, owner: str, seen: set[int]) -> Iterator[Place]:
    code = function.__code__
    yield Place(function, f"{function.__qualname__}.{{}}")
    for key, cell in zip(code.co_freevars, function.__closure__ or ()):  # noqa: B905
        if id(cell) not in seen and key != "__class__":
            seen.add(id(cell))
            yield Place(cell, f"{{}} (around {owner})", key)
    yield from _globals(function.__globals__, code.co_filename, seen)


def _globals(held: dict[str, Any], file: str, seen: set[int]) -> Iterator[Place]:
    if id(held) not in seen:
        seen.add(id(held))
        yield Place(held, f"{{}} ({os.path.basename(file)})")


def _bases(model: nn.Module) -> list[type]:
    """The user's classes that the modules are of, each once."""
    kinds = dict.fromkeys(type(module) for module in model.modules())
    bases = dict.fromkeys(base for kind in kinds for base in kind.__mro__)
    return [base for base in bases if base.__module__.partition(".")[0] not in ("torch", "builtins")]


def _functions(kind: type) -> Iterator[Reached]:
    """The user's own functions among the attributes of a class."""
    for value in vars(kind).values():
        inner = value.__func__ if isinstance(value, (staticmethod, classmethod)) else value
        if (one := _reached(inner, kind.__name__)) is not None:
            yield one


def _called(function: Any) -> Iterator[Reached | ModuleType]:
    """The user's functions, and modules of the user's own, that the code of a function names as globals."""
    codes = [function.__code__]
    for code in codes:
        codes += [inner for inner in code.co_consts if isinstance(inner, CodeType)]
        for name in code.co_names:
            value = function.__globals__.get(name)
            if isinstance(value, ModuleType):
                file = getattr(value, "__file__", None) or ""
                if file and "site-packages" not in file and is_users(file):  # a library has thousands, and own caches
                    yield value
            elif (one := _reached(value)) is not None:
                yield one


def _reached(value: Any, owner: str = "") -> Reached | None:
    """A function of the user's, whatever is wrapped around it; None for everything else."""
    if not isinstance(value, (FunctionType, _CACHE)):
        return None
    function = inspect.unwrap(value)
    code = getattr(function, "__code__", None)
    if code is None or not is_users(code.co_filename):
        return None
    return Reached(owner or function.__name__, function, value if isinstance(value, _CACHE) else None)


def _is_data(value: Any) -> bool:
    if isinstance(value, _DATA) or generator_state(value) is not None:
        return True
    foreign = str(type(value).__module__).partition(".")[0] in sys.stdlib_module_names
    return not isinstance(value, (ModuleType, type)) and not callable(value) and not foreign
