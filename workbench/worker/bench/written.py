"""A live module as Python source that constructs it: calls, imports, and what is set afterwards.

Owns the expressions. The arguments of a constructor are read off the attributes that it left behind under their
names, as torch's own layers and most classes do; what cannot be told so is said, never guessed.
"""

from __future__ import annotations

import contextlib
import enum
import functools
import inspect
import math
import sys
import types
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from workbench.worker.bench import packages
from workbench.worker.bench.words import some
from workbench.worker.bench.written_torch import left_by_torch

_CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)
_VARIADIC = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
_TAKEN = frozenset({"functools", "made", "model", "name", "nn", "torch"})
"""Names that the written factory has for itself."""
_LONGEST = 10_000
"""Items of a plain container that are still written down."""


class Unwritten(Exception):
    """No source can be written for it; its text says why, and `asks` are the arguments that are missing."""

    def __init__(self, why: str, asks: tuple[str, ...] = ()) -> None:
        super().__init__(why)
        self.asks = asks


@dataclass
class Source:
    """The text of a factory, growing: the import lines that its expressions need."""

    given: Mapping[str, Any] = field(default_factory=dict)
    """Arguments of the outermost constructor that somebody gave."""
    imports: dict[str, None] = field(default_factory=dict)
    _names: dict[str, Any] = field(default_factory=dict)

    def module(self, module: nn.Module, outermost: bool = False) -> str:
        """The call that makes it. Raises `Unwritten`."""
        kind = type(module)
        if kind in _CONTAINERS:
            return self._container(module)
        arguments = self._arguments(module, self.given if outermost else {})
        return f"{self.name(kind)}({', '.join(f'{name}={text}' for name, text in arguments.items())})"

    def factory(self, target: str) -> str:
        """The call of `package.module:function` with the arguments that were given. Raises `Unwritten`."""
        holder, _, name = packages.importable(target).rpartition(":")
        if not holder or not all(part.isidentifier() for part in [*holder.split("."), name]):
            raise Unwritten(f"{target} is no package.module:function")
        self._names[name] = (holder, name)
        given = ", ".join(f"{key}={self.value(one)}" for key, one in self.given.items())
        return f"{self._imported(holder, name)}({given})"

    def own_factory(self, model: nn.Module) -> str:
        """The call of the package that keeps by what name it made a model: timm; empty for every other."""
        kept = vars(model).get("pretrained_cfg") or vars(model).get("default_cfg")
        kept = kept if isinstance(kept, dict) else getattr(kept, "__dict__", {})
        name = kept.get("architecture")
        if not type(model).__module__.startswith("timm.") or not isinstance(name, str):
            return ""
        self.imports["from timm import create_model"] = None
        given = "".join(f", {key}={self.value(one)}" for key, one in self.given.items())
        return f"create_model({name!r}{given})"

    def name(self, thing: Any) -> str:
        """How a class or function is called, importing it. Raises `Unwritten`."""
        owner, called = getattr(thing, "__module__", None) or "", getattr(thing, "__qualname__", "")
        plain = getattr(thing, "__name__", "")  # functions of torch's have a class of torch's before it in the other
        for home, known in (("nn", nn), ("torch", torch), ("nn.functional", nn.functional)):
            if getattr(known, plain, None) is thing:
                return f"{home}.{plain}"
        if not owner or "<" in called:
            raise Unwritten(f"{called or thing!r} has no name that could be imported")
        first = called.partition(".")[0]
        there = sys.modules.get(owner)
        if owner != "builtins":
            if self._names.setdefault(first, (owner, first)) != (owner, first):
                raise Unwritten(f"two things are called {first}, of {self._names[first][0]} and of {owner}")
            if there is None or hasattr(there, first):
                return self._imported(owner, first) + called[len(first) :]
        return called

    def _imported(self, owner: str, name: str) -> str:
        """Import it, under another name where the factory itself uses that one."""
        alias = f"{name}_" if name in _TAKEN else name
        self.imports[f"from {owner} import {name}" + (f" as {alias}" if alias != name else "")] = None
        return alias

    def value(self, value: Any) -> str:
        """An expression for a plain value, a module, or something that can be imported. Raises `Unwritten`."""
        if isinstance(value, nn.Module):
            return self.module(value)
        if isinstance(value, type | types.FunctionType | types.BuiltinFunctionType):
            return self.name(value)
        if type(value) is functools.partial:
            self.imports["import functools"] = None
            parts = [self.value(one) for one in (value.func, *value.args)]
            return (
                f"functools.partial({', '.join(parts + [f'{k}={self.value(v)}' for k, v in value.keywords.items()])})"
            )
        if isinstance(value, enum.Enum):
            return f"{self.name(type(value))}[{value.name!r}]"
        if isinstance(value, torch.dtype):
            return repr(value)
        if isinstance(value, torch.device):
            return f"torch.{value!r}"
        if isinstance(value, float) and not math.isfinite(value):
            return f"float({str(value)!r})"
        if value is None or type(value) in (bool, int, float, str, bytes, complex):
            return repr(value)
        if type(value) in (list, tuple, set, frozenset, torch.Size) and len(value) <= _LONGEST:
            return self._sequence(value)
        if type(value) is dict and len(value) <= _LONGEST:
            return f"{{{', '.join(f'{self.value(key)}: {self.value(one)}' for key, one in value.items())}}}"
        if type(value).__module__.startswith("transformers.") and hasattr(value, "to_dict"):
            return f"{self.name(type(value))}.from_dict({self.value(value.to_dict())})"
        raise Unwritten(f"a {type(value).__name__} has no literal")

    def _sequence(self, value: Any) -> str:
        inner = ", ".join(self.value(one) for one in value)
        if isinstance(value, tuple):
            return f"({inner}{',' if len(value) == 1 else ''})"
        if isinstance(value, list):
            return f"[{inner}]"
        return f"{type(value).__name__}([{inner}])"

    def _container(self, module: nn.Module) -> str:
        children = {name: self.module(child) for name, child in module.named_children()}
        kind = type(module).__name__
        if list(children) == [str(place) for place in range(len(children))]:
            inner = ", ".join(children.values())
            return f"nn.{kind}({inner})" if kind == "Sequential" else f"nn.{kind}([{inner}])"
        listed = ", ".join(f"({name!r}, {text})" for name, text in children.items())
        self.imports["from collections import OrderedDict"] = None
        return f"nn.{kind}(OrderedDict([{listed}]))"

    def _arguments(self, module: nn.Module, given: Mapping[str, Any]) -> dict[str, str]:
        """Arguments of its constructor as text, without those that have their default's value."""
        found: dict[str, str] = {}
        missing: list[str] = []
        parameters = _parameters(type(module))
        for name in [name for name in given if name not in parameters]:
            found[name] = self.value(given[name])
        for name, parameter in parameters.items():
            if parameter.kind in _VARIADIC:
                continue
            if name in given:
                found[name] = self.value(given[name])
                continue
            try:
                value = _left_behind(module, name, parameter.default)
                text = self.value(value)
            except (LookupError, Unwritten):
                if parameter.default is inspect.Parameter.empty:
                    missing.append(_asked(parameter))
                continue
            if parameter.default is inspect.Parameter.empty or not _same_value(value, parameter.default):
                found[name] = text
        if missing:
            words = f"{type(module).__qualname__} wants {some(missing, 6)}, which the object does not tell"
            raise Unwritten(words, tuple(missing))
        return found


def _parameters(kind: type[nn.Module]) -> Mapping[str, inspect.Parameter]:
    """What a class is constructed with. Raises `Unwritten`."""
    try:
        if issubclass(kind, nn.RNNBase) and kind.__module__.startswith("torch."):
            found = dict(inspect.signature(nn.RNNBase).parameters)  # nn.LSTM itself says no more than *args
            return {name: one for name, one in found.items() if name != "mode"}
        return inspect.signature(kind).parameters
    except (TypeError, ValueError) as problem:
        raise Unwritten(f"{kind.__qualname__} does not say what it is constructed with") from problem


def _left_behind(module: nn.Module, name: str, default: Any) -> Any:
    """What the constructor was probably given as `name`. Raises LookupError where nothing tells."""
    held = vars(module)
    with contextlib.suppress(LookupError):
        return left_by_torch(module, name)
    for key in (name, f"_{name}"):
        for place in (held, held["_modules"], held["_parameters"], held["_buffers"]):
            if key not in place:
                continue
            value = place[key]
            if isinstance(default, bool) and (isinstance(value, torch.Tensor) or place is held["_parameters"]):
                return value is not None  # `bias=False` leaves the parameter None
            return value
    raise LookupError(name)


def _asked(parameter: inspect.Parameter) -> str:
    """ "width: int"."""
    annotation = parameter.annotation
    if annotation is inspect.Parameter.empty:
        return parameter.name
    return f"{parameter.name}: {annotation if isinstance(annotation, str) else inspect.formatannotation(annotation)}"


def _same_value(one: Any, other: Any) -> bool:
    try:
        return type(one) is type(other) and bool(one == other)
    except (TypeError, ValueError, RuntimeError):  # arrays and the like have no one answer
        return False
