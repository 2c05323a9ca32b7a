"""What a model holds at one moment, to be put back: attributes, tensors, generators of its own.

It never runs the model. Attributes of every module are recorded, and what they lead to through containers and plain
objects; tensors by value, with requires_grad and gradients. Global switches are `snapshot.py`'s.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from workbench.worker.bench.sampling import tensors_in
from workbench.worker.judge.held_items import CONTAINERS, is_same, items_of, refill
from workbench.worker.judge.held_outside import (
    GONE,
    caches,
    generator_state,
    held_under,
    places,
    put_under,
    reached,
    same_state,
    set_generator_state,
)
from workbench.worker.judge.held_tensor import HeldTensor
from workbench.worker.judge.pieces import bytes_of

COPY_BUDGET = 1 << 30
"""Bytes of tensor values that are copied, buffers and inputs first. Values beyond it are watched by their version
and by a sample, and `Snapshot.lost` names those that changed: only building the model again brings them back."""
OUTSIDE_BUDGET = 64 << 20
"""Bytes of tensors outside of the modules that are copied."""

DEPTH = 8
"""Containers and objects within each other that are followed, below an attribute of a module."""
MOST = 20_000
"""Things below the attributes that are followed; what lies beyond is not put back."""

_REGISTERED = ("_parameters", "_buffers")
_NAMESPACES = ("types", "argparse", "collections")
"""Parts of the standard library whose objects hold what a user puts into them."""


@dataclass(frozen=True)
class _Held:
    """A container, or the attributes of an object, and the very items that it had."""

    name: str
    value: Any
    items: list[Any]
    holder: dict[str, Any] | None = None
    """Attributes in which it was found under `key`, for a container that is an attribute itself."""
    key: str = ""
    attributes: bool = False

    @property
    def named(self) -> bool:
        """Its items are attributes, buffers or parameters, which have names of their own."""
        return self.attributes or self.key in _REGISTERED

    def full(self, key: str) -> str:
        """The name of one of its items."""
        prefix = self.name if self.attributes else self.name.rpartition(self.key)[0].rstrip(".")
        return f"{prefix}.{key}" if prefix else key


class Snapshot:
    """What a model and its inputs hold at one moment."""

    def __init__(self, model: nn.Module, args: Any, kwargs: Any, budget: int | None = None) -> None:
        self.lost: list[str] = []
        """After `restore`: names of tensors whose old values are gone (see `COPY_BUDGET`)."""
        self._modules = list(model.named_modules())
        self._held: list[_Held] = []
        self._generators: list[tuple[str, Any, Any]] = []
        self._seen = {id(module) for _, module in self._modules}
        self._below = 0
        self._tensors: dict[int, HeldTensor] = {}
        self._left = COPY_BUDGET if budget is None else budget
        for number, tensor in enumerate(tensors_in((args, kwargs))):
            self._record(f"input {number}", tensor)
        self._buffers = [_buffers(module) for _, module in self._modules]
        for (path, _), held in zip(self._modules, self._buffers):  # noqa: B905 (made together)
            for name, tensor in held.items():
                self._record(f"{path}.{name}" if path else name, tensor)
        for path, module in self._modules:
            own = vars(module)
            self._held.append(_Held(path, own, list(own.items()), attributes=True))
            for name, value in own.items():
                self._visit(f"{path}.{name}" if path else name, value, 0, own, name)
        for path, parameter in model.named_parameters(remove_duplicate=False):
            self._record(path, parameter)  # those of scripted modules are no attributes
        self._left = min(self._left, OUTSIDE_BUDGET)
        functions = reached(model)
        self._caches = [(name, cache, cache.cache_info().currsize) for name, cache in caches(model, functions)]
        self._places = list(places(model, functions))
        self._outside: list[tuple[str, Any, str, Any]] = []
        self._known: list[set[str]] = []
        for place in self._places:
            keys = place.variables()
            self._known.append(set(keys))
            self._outside += [(place.name(key), place.holder, key, held_under(place.holder, key)) for key in keys]
        for name, _, _, value in self._outside:
            self._visit(name, value, 1)

    def changed_buffers(self) -> list[tuple[str, str]]:
        """(path, how) of every buffer that is not as it was: "values", "rebound", "new" or "gone"."""
        found = []
        for (path, module), before in zip(self._modules, self._buffers):  # noqa: B905 (made together)
            now = _buffers(module)
            for name in [*before, *(name for name in now if name not in before)]:
                old, new = before.get(name), now.get(name)
                if old is None or new is None:
                    how = "gone" if new is None else "new"
                elif old is new:
                    how = "values" if id(old) in self._tensors and self._tensors[id(old)].changed() else ""
                else:
                    how = "rebound"
                if how:
                    found.append((f"{path}.{name}" if path else name, how))
        return found

    def grown(self) -> list[tuple[str, str, int, int]]:
        """(path, type, items then, items now) of the modules' containers that hold more than before."""
        found = []
        for held in self._held:
            now = held.value if held.holder is None else held.holder.get(held.key)
            if held.attributes or held.key.startswith("_forward") or not isinstance(now, CONTAINERS):
                continue
            if len(now) > len(held.items):
                found.append((held.name, type(now).__name__, len(held.items), len(now)))
        return found

    def restore(self) -> None:
        """Put everything back. Only what changed is written, so that versions of the rest stay."""
        for held in self._held:
            refill(held.value, held.items)
        for _, generator, state in self._generators:
            set_generator_state(generator, state)
        for _, holder, key, value in self._outside:
            if held_under(holder, key) is not value:
                put_under(holder, key, value)
        for _, holder, key in self._made():
            put_under(holder, key, GONE)
        self._empty_again(lambda name: True)
        for tensor in self._tensors.values():
            if not tensor.restore():
                self.lost.append(tensor.name)

    def moved(self) -> list[tuple[str, str]]:
        """(name, how) of everything that is not as it was: attributes, containers, tensors by value, generators."""
        found: dict[str, str] = {}
        for held in self._held:
            if held.named:
                found.update(_changed_names(held))
            elif not is_same(held.value, held.items):
                found[held.name] = f"{len(held.items)} → {len(held.value)} items"
        found.update((one.name, "values") for one in self._tensors.values() if one.changed())
        found.update(
            (name, "drawn from") for name, one, state in self._generators if not same_state(generator_state(one), state)
        )
        for name, holder, key, value in self._outside:
            now = held_under(holder, key)
            if how := _how(value, now):
                found.setdefault(name, how)
        found.update((name, "new") for name, _, _ in self._made())
        for name, cache, items in self._caches:
            if (now := cache.cache_info().currsize) != items:
                found[name] = f"{items} → {now} items"
        return list(found.items())

    def _empty_again(self, wanted: Callable[[str], bool]) -> None:
        """Caches that were empty are emptied; what another held cannot be put back, and may be thrown out any time."""
        for name, cache, items in self._caches:
            if not items and wanted(name) and cache.cache_info().currsize:
                cache.cache_clear()

    def _made(self) -> list[tuple[str, Any, str]]:
        """(name, holder, key) of the variables outside of the modules that were not there."""
        return [
            (place.name(key), place.holder, key)
            for place, known in zip(self._places, self._known)  # noqa: B905 (made together)
            for key in place.variables()
            if key not in known
        ]

    def names(self) -> list[str]:
        """Names of everything that is recorded: attributes, containers, tensors, generators, variables outside."""
        names: dict[str, None] = {}
        for held in self._held:
            names.update(dict.fromkeys([held.full(key) for key, _ in held.items] if held.named else [held.name]))
        names.update(dict.fromkeys(tensor.name for tensor in self._tensors.values()))
        names.update(dict.fromkeys(name for name, *_ in (*self._generators, *self._outside, *self._caches)))
        return list(names)

    def name_of(self, generator: Any) -> str:
        """The name under which a generator is held; empty for a stranger."""
        identity = getattr(generator, "_cdata", id(generator))  # an operator gets another object around the same one
        found = (name for name, one, _ in self._generators if getattr(one, "_cdata", id(one)) == identity)
        return next(found, "")

    def put_back(self, wanted: Callable[[str], bool]) -> None:
        """`restore`, of what has a wanted name alone."""
        for held in self._held:
            if held.named:
                before = dict(held.items)
                for key in [key for key in {*before, *held.value} if wanted(held.full(key))]:
                    if key in before:
                        held.value[key] = before[key]
                    else:
                        del held.value[key]
            elif wanted(held.name):
                refill(held.value, held.items)
        for name, generator, state in self._generators:
            if wanted(name):
                set_generator_state(generator, state)
        for name, holder, key, value in self._outside:
            if wanted(name):
                put_under(holder, key, value)
        for name, holder, key in self._made():
            if wanted(name):
                put_under(holder, key, GONE)
        self._empty_again(wanted)
        for tensor in self._tensors.values():
            if wanted(tensor.name):
                tensor.restore()

    def _visit(self, name: str, value: Any, depth: int, holder: dict[str, Any] | None = None, key: str = "") -> None:
        """Record what `value` holds, and follow it: the modules' own attributes always, what lies below in bounds."""
        if isinstance(value, torch.Tensor):
            self._record(name, value)
            return
        if type(value) in _PLAIN or id(value) in self._seen or depth > DEPTH:
            return
        self._below += 1 if depth else 0
        if self._below > MOST:
            return
        self._seen.add(id(value))
        state = generator_state(value)
        if state is not None:
            self._generators.append((name, value, state))
        elif isinstance(value, CONTAINERS):
            items = items_of(value)
            self._held.append(_Held(name, value, items, holder, key))
            if key not in _REGISTERED:  # these are recorded under their own names
                self._follow(name, items, depth, isinstance(value, dict))
        elif isinstance(value, tuple):
            self._follow(name, value, depth, False)
        elif (own := _attributes(value)) is not None:
            self._held.append(_Held(name, own, list(own.items()), attributes=True))
            for inner, part in own.items():
                self._visit(f"{name}.{inner}", part, depth + 1)

    def _follow(self, name: str, items: Any, depth: int, pairs: bool) -> None:
        for place, item in enumerate(itertools.islice(items, MOST)):
            part = item[1] if pairs else item
            if type(part) not in _PLAIN:
                self._visit(f"{name}[{item[0]!r}]" if pairs else f"{name}[{place}]", part, depth + 1)

    def _record(self, name: str, tensor: torch.Tensor) -> None:
        if id(tensor) in self._tensors or nn.parameter.is_lazy(tensor):
            return
        size = bytes_of(tensor)
        copy = size <= self._left and not tensor.is_meta
        self._left -= size if copy else 0
        self._tensors[id(tensor)] = HeldTensor(name, tensor, copy)


def _buffers(module: nn.Module) -> dict[str, torch.Tensor]:
    return dict(module.named_buffers(recurse=False, remove_duplicate=False))


_PLAIN = (bool, int, float, complex, str, bytes, type(None), torch.dtype, torch.device)
"""Types with nothing inside."""


def _attributes(value: Any) -> dict[str, Any] | None:
    """The attributes of a plain object; None for classes, functions and what belongs to Python or torch."""
    if isinstance(value, nn.Module):  # in a list of the user's: not registered, and a part of the model all the same
        return vars(value)
    home = str(type(value).__module__).partition(".")[0]
    if isinstance(value, type) or home == "torch" or (home in sys.stdlib_module_names and home not in _NAMESPACES):
        return None
    own = getattr(value, "__dict__", None)
    return own if type(own) is dict else None


def _changed_names(held: _Held) -> dict[str, str]:
    """Name → "new", "gone" or "rebound" of the attributes that are not what they were; equal numbers are the same."""
    before, found = dict(held.items), {}
    for key in [*before, *(key for key in held.value if key not in before)]:
        if key not in before or key not in held.value:
            found[held.full(key)] = "new" if key not in before else "gone"
            continue
        if how := _how(before[key], held.value[key]):
            found[held.full(key)] = how
    return found


def _how(old: Any, now: Any) -> str:
    """ "0 → 1", "rebound"; empty where both are the same."""
    if old is now or (type(old) in _PLAIN and type(now) is type(old) and old == now):
        return ""
    shown = type(old) in (bool, int, float) and type(now) in (bool, int, float)
    return f"{old} → {now}" if shown else "rebound"
