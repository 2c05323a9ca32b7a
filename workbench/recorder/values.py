"""A value of a running program as the expression that makes it again: numbers, containers, members of an enum, data
classes, functions and partials, patterns, loggers, locks.

Owns the spelling. What has no expression (a tensor, a module, an object with a state of its own) is the pickler's
business, in objects.py.
"""

from __future__ import annotations

import builtins
import collections
import dataclasses
import enum
import functools
import logging
import math
import operator
import re
import sys
import threading
import types
import typing
from typing import Any

import torch
from torch.nn import functional

from .slices import Slice, home_of
from .source import functions_of, is_typed

_DEPTH, _MOST = 20, 10_000
_EXACT = (type(None), bool, int, complex, str, bytes, type(Ellipsis), slice, range)
_OF_TORCH = (torch.dtype, torch.device, torch.Size, torch.memory_format, torch.layout)
FRESH: dict[type, str] = {
    type(threading.Lock()): "threading.Lock()",
    type(threading.RLock()): "threading.RLock()",
    threading.Event: "threading.Event()",
    threading.Condition: "threading.Condition()",
    threading.local: "threading.local()",
    object: "object()",
}
"""What has no value but what it is used for: it is made anew."""
_PLACES: tuple[Any, ...] = (torch, functional, torch.special, torch.linalg, torch.fft, torch.Tensor, math, operator)
"""Where a function may be found that does not say itself where it is."""


def spell(value: Any, piece: Slice, depth: int = 0) -> str:
    """The expression, with all that it needs in `piece`. Raises ValueError with what it is, where there is none."""
    if depth > _DEPTH:
        raise ValueError(f"a {type(value).__name__} of more than {_DEPTH} levels")
    for way in (_exact, _named, _contained, _made):
        text = way(value, piece, depth + 1)
        if text:
            return text
    raise ValueError(_what(value))


def _what(value: Any) -> str:
    name = type(value).__name__
    return f"{'an' if name[:1].lower() in 'aeiou' else 'a'} {name} of the program"


def _exact(value: Any, piece: Slice, depth: int) -> str:
    kind = type(value)
    if kind in _EXACT:
        return repr(value)
    if kind is float:
        return repr(value) if math.isfinite(value) else f"float({str(value)!r})"
    if kind in _OF_TORCH:
        piece.imports("import torch")
        return f"torch.{value!r}" if kind is torch.device else repr(value)
    return ""


def _named(value: Any, piece: Slice, depth: int) -> str:
    """What has a name of its own: a class, a function, a member of an enum, a module."""
    if isinstance(value, types.ModuleType):
        piece.copies.add(value)
        piece.imports(f"import {value.__name__}")
        return value.__name__
    if isinstance(value, enum.Enum):
        owner = spell(type(value), piece, depth)
        named = isinstance(value.name, str) and value.name.isidentifier()
        return f"{owner}.{value.name}" if named else f"{owner}({spell(value.value, piece, depth)})"
    if value is type(None):
        return "type(None)"
    if isinstance(value, type) and not isinstance(value, types.GenericAlias):
        return _functional(value, piece, depth) or piece.refer(value)
    if isinstance(value, types.FunctionType):
        return placed(value, piece) or piece.refer(value)
    if isinstance(value, types.MethodType):
        return f"{spell(value.__self__, piece, depth)}.{value.__name__}"
    if callable(value) and not isinstance(value, functools.partial):
        found = placed(value, piece)
        if found or not any(is_typed(one.__module__) for one in functions_of(value)):
            return found
        return piece.decorated(value)  # by what makes no function of it: lru_cache, torch.jit.script
    return ""


def placed(value: Any, piece: Slice) -> str:
    """The path of a function in a module of Python's or torch's; empty for any other."""
    owner, called = getattr(value, "__module__", None), getattr(value, "__name__", "")
    if isinstance(value, types.FunctionType) and (home_of(value) is not None or is_typed(owner or "")):
        return ""
    for place in (builtins, *_PLACES, sys.modules.get(owner or "")):
        if isinstance(called, str) and called and getattr(place, called, None) is value:
            return _path(place, called, piece)
    if "<locals>" in getattr(value, "__qualname__", "") and (owner or "").startswith("torch."):
        for place in (sys.modules.get(owner or ""), *_PLACES):
            for name, one in vars(place).items() if place is not None else ():
                if one is value:
                    return _path(place, name, piece)
    return ""


def _path(place: Any, name: str, piece: Slice) -> str:
    if place is builtins:
        return name
    module = place.__name__ if isinstance(place, types.ModuleType) else "torch"
    if is_typed(module):
        return ""
    piece.copies.add(place)
    piece.imports(f"import {module}")
    return f"{module}.{name}" if isinstance(place, types.ModuleType) else f"torch.Tensor.{name}"


def _functional(value: type, piece: Slice, depth: int) -> str:
    """A class that a call made: `namedtuple("Point", "x y")`, `Enum("Act", "A B")`."""
    if not is_typed(value.__module__) or piece.has_source(value):
        return ""
    if issubclass(value, tuple) and value.__bases__ == (tuple,) and hasattr(value, "_fields"):
        piece.imports("import collections")
        fields, defaults = value._fields, tuple(getattr(value, "_field_defaults", {}).values())
        given = f", defaults={spell(defaults, piece, depth)}" if defaults else ""
        return piece.give(value, f"collections.namedtuple({value.__name__!r}, {fields!r}{given})")
    if issubclass(value, enum.Enum) and home_of(value.__bases__[-1]) == "enum":
        piece.imports("import enum")
        members = {name: one.value for name, one in value.__members__.items()}
        base = value.__bases__[-1].__name__
        return piece.give(value, f"enum.{base}({value.__name__!r}, {spell(members, piece, depth)})")
    return ""


def _contained(value: Any, piece: Slice, depth: int) -> str:
    kind = type(value)
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return f"{spell(kind, piece, depth)}({_list(value, piece, depth)})"
    if kind not in (list, tuple, set, frozenset, dict, collections.OrderedDict, types.MappingProxyType):
        return ""
    if len(value) > _MOST:
        raise ValueError(f"a {kind.__name__} of {len(value)} things")
    if kind in (list, tuple, set, frozenset):
        inner = _list(value, piece, depth)
        if kind is tuple:
            return f"({inner}{',' if len(value) == 1 else ''})"
        return f"[{inner}]" if kind is list else f"{kind.__name__}([{inner}])"
    pairs = [f"{spell(key, piece, depth)}: {spell(one, piece, depth)}" for key, one in value.items()]
    text = "{" + ", ".join(pairs) + "}"
    if kind is dict:
        return text
    module = "collections" if kind is collections.OrderedDict else "types"
    piece.imports(f"import {module}")
    return f"{module}.{'OrderedDict' if kind is collections.OrderedDict else 'MappingProxyType'}({text})"


def _list(values: Any, piece: Slice, depth: int) -> str:
    return ", ".join(spell(one, piece, depth) for one in values)


def _made(value: Any, piece: Slice, depth: int) -> str:
    """What a call makes again."""
    kind = type(value)
    if kind in FRESH:
        piece.imports("import threading")
        return FRESH[kind]
    if isinstance(value, logging.Logger):
        piece.imports("import logging")
        return f"logging.getLogger({value.name!r})" if logging.getLogger(value.name) is value else ""
    if kind is re.Pattern:
        piece.imports("import re")
        return f"re.compile({value.pattern!r}, {value.flags})"
    if kind is functools.partial:
        piece.imports("import functools")
        given = [spell(value.func, piece, depth), *(spell(one, piece, depth) for one in value.args)]
        given += [f"{name}={spell(one, piece, depth)}" for name, one in value.keywords.items()]
        return f"functools.partial({', '.join(given)})"
    if kind in (operator.itemgetter, operator.attrgetter, operator.methodcaller):
        maker, given = value.__reduce__()[:2]
        return f"{spell(maker, piece, depth)}({_list(given, piece, depth)})" if maker is kind else ""
    if kind is types.SimpleNamespace or f"{kind.__module__}.{kind.__qualname__}" == "argparse.Namespace":
        return f"{spell(kind, piece, depth)}(**{spell(vars(value), piece, depth)})"
    return _dataclass(value, piece, depth) or _annotation(value, piece, depth)


def _dataclass(value: Any, piece: Slice, depth: int) -> str:
    """An object of a data class that its own constructor makes the same again."""
    kind = type(value)
    if not dataclasses.is_dataclass(kind) or hasattr(kind, "__post_init__"):
        return ""
    fields = dataclasses.fields(kind)
    plain = all(one.init for one in fields) and "__init__" in vars(kind)
    generated = plain and vars(kind)["__init__"].__code__.co_filename.startswith("<")
    held = getattr(value, "__dict__", {})
    if not generated or {*held} - {one.name for one in fields} or not all(hasattr(value, f.name) for f in fields):
        return ""
    given = [f"{one.name}={spell(getattr(value, one.name), piece, depth)}" for one in fields]
    return f"{spell(kind, piece, depth)}({', '.join(given)})"


def _annotation(value: Any, piece: Slice, depth: int) -> str:
    """What stands for a type: `Optional[Tensor]`, `list[int]`, a TypeVar."""
    if type(value).__module__ in ("typing", "typing_extensions"):
        piece.imports("import typing")
        called = getattr(value, "__name__", None) or getattr(value, "_name", None) or ""
        if isinstance(value, typing.NewType):
            return f"typing.NewType({called!r}, {spell(value.__supertype__, piece, depth)})"
        if isinstance(value, typing.TypeVar):
            return f"typing.TypeVar({called!r})"
        if getattr(typing, called, None) is value:
            return f"typing.{called}"
        if typing.get_origin(value) is None:
            return "typing.Any"
    origin = typing.get_origin(value)
    if origin is None:
        return ""
    arguments = typing.get_args(value)
    if origin in (typing.Union, getattr(types, "UnionType", None)):
        piece.imports("import typing")
        return f"typing.Union[{_list(arguments, piece, depth)}]"
    if origin is typing.Literal:
        piece.imports("import typing")
        return f"typing.Literal[{_list(arguments, piece, depth)}]"
    return f"{spell(origin, piece, depth)}[{_list(arguments, piece, depth) or '()'}]"
