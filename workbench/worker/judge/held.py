"""What a model holds at one moment, to be put back: attributes, tensors, generators of its own.

It never runs the model. Attributes of every module are recorded, and what they lead to through containers and plain
objects; tensors by value, with requires_grad and gradients. Global switches are `snapshot.py`'s.
"""

from __future__ import annotations

import itertools
import random
import sys
from collections import OrderedDict, deque
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from workbench.worker.bench.sampling import tensors_in

COPY_BUDGET = 1 << 30
"""Bytes of tensor values that are copied, buffers and inputs first. Values beyond it are watched by their version,
and `Snapshot.lost` names those that changed: only building the model again brings them back."""

DEPTH = 8
"""Containers and objects within each other that are followed, below an attribute of a module."""
MOST = 20_000
"""Things below the attributes that are followed; what lies beyond is not put back."""

_CONTAINERS = (OrderedDict, dict, list, set, deque)
"""The order matters: each is read and filled by its own methods, past those of a subclass."""
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


class Snapshot:
    """What a model and its inputs hold at one moment."""

    def __init__(self, model: nn.Module, args: Any, kwargs: Any) -> None:
        self.lost: list[str] = []
        """After `restore`: names of tensors whose old values are gone (see `COPY_BUDGET`)."""
        self._modules = list(model.named_modules())
        self._held: list[_Held] = []
        self._generators: list[tuple[Any, Any]] = []
        self._seen = {id(module) for _, module in self._modules}
        self._below = 0
        self._tensors: dict[int, _Tensor] = {}
        self._left = COPY_BUDGET
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
            if held.attributes or held.key.startswith("_forward") or not isinstance(now, _CONTAINERS):
                continue
            if len(now) > len(held.items):
                found.append((held.name, type(now).__name__, len(held.items), len(now)))
        return found

    def restore(self) -> None:
        """Put everything back. Only what changed is written, so that versions of the rest stay."""
        for held in self._held:
            _refill(held.value, held.items)
        for generator, state in self._generators:
            _set_state(generator, state)
        for tensor in self._tensors.values():
            if not tensor.restore():
                self.lost.append(tensor.name)

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
        state = _state(value)
        if state is not None:
            self._generators.append((value, state))
        elif isinstance(value, _CONTAINERS):
            items = _items(value)
            self._held.append(_Held(name, value, items, holder, key))
            if key not in ("_parameters", "_buffers"):  # these are recorded under their own names
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
        size = tensor.nbytes if tensor.layout is torch.strided else 0
        copy = size <= self._left and not tensor.is_meta
        self._left -= size if copy else 0
        self._tensors[id(tensor)] = _Tensor(name, tensor, copy)


class _Tensor:
    """One tensor and what it was."""

    def __init__(self, name: str, tensor: torch.Tensor, copy: bool) -> None:
        self.name = name
        self._tensor = tensor
        self._requires_grad = tensor.requires_grad
        self._version = _version(tensor)
        self._data = tensor.data
        """Another tensor on the same memory: keeps it from being freed, and says whether `.data` was rebound."""
        self._grad = tensor.grad if tensor.is_leaf else None
        self._grad_copy = None if self._grad is None else self._grad.detach().clone()
        self._copy = _copied(tensor) if copy else None

    def changed(self) -> bool:
        """Whether values, dtype or shape are other than they were."""
        if not _same_place(self._tensor, self._data):
            return True
        if self._copy is None:
            return self._version != _version(self._tensor)
        with torch.no_grad():
            return not _same_values(self._tensor.detach(), self._copy)

    def restore(self) -> bool:
        """Put it back; False when its old values are not known."""
        tensor = self._tensor
        if not _same_place(tensor, self._data):
            tensor.data = self._data
        known = self._copy is not None or self._version == _version(tensor)
        with torch.inference_mode(tensor.is_inference()), torch.no_grad():
            if self._copy is not None and not _same_values(tensor.detach(), self._copy):
                tensor.data.copy_(self._copy)
            if self._grad is not None and self._grad_copy is not None and not torch.equal(self._grad, self._grad_copy):
                self._grad.copy_(self._grad_copy)
        if tensor.is_leaf:
            if tensor.requires_grad != self._requires_grad:
                tensor.requires_grad_(self._requires_grad)
            if tensor.grad is not self._grad:
                tensor.grad = self._grad
        return known


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


def _state(value: Any) -> Any:
    """The state of a generator; None for everything else."""
    if isinstance(value, torch.Generator):
        return value.get_state()
    return value.getstate() if type(value) is random.Random else None


def _set_state(generator: Any, state: Any) -> None:
    if isinstance(generator, torch.Generator):
        generator.set_state(state)
    else:
        generator.setstate(state)


def _base(container: Any) -> Any:
    return next(kind for kind in _CONTAINERS if isinstance(container, kind))


def _items(container: Any) -> list[Any]:
    base = _base(container)
    return list(base.items(container) if isinstance(container, dict) else base.__iter__(container))


def _refill(container: Any, before: list[Any]) -> None:
    """Give a container the very items that it had, in place."""
    now = _items(container)
    if isinstance(container, dict):
        same = len(now) == len(before) and all(a[0] is b[0] and a[1] is b[1] for a, b in zip(now, before))  # noqa: B905
    else:
        same = len(now) == len(before) and all(a is b for a, b in zip(now, before))  # noqa: B905
    if same:
        return
    base = _base(container)
    base.clear(container)
    if isinstance(container, dict):
        for key, value in before:
            base.__setitem__(container, key, value)
    elif isinstance(container, set):
        base.update(container, before)
    else:
        base.extend(container, before)


def _copied(tensor: torch.Tensor) -> torch.Tensor:
    with torch.inference_mode(False), torch.no_grad():
        return tensor.detach().clone()


def _same_values(a: torch.Tensor, b: torch.Tensor) -> bool:
    if a.layout is not torch.strided or a.is_quantized:
        return torch.equal(a, b) if a.layout is torch.strided else torch.equal(a.to_dense(), b.to_dense())
    if torch.equal(a, b):
        return True
    return a.is_floating_point() and bool(((a == b) | (a.isnan() & b.isnan())).all())


def _same_place(tensor: torch.Tensor, data: torch.Tensor) -> bool:
    if tensor.dtype != data.dtype or tensor.shape != data.shape or tensor.layout is not data.layout:
        return False
    return tensor.layout is not torch.strided or tensor.is_meta or tensor.data_ptr() == data.data_ptr()


def _version(tensor: torch.Tensor) -> int:
    return -1 if tensor.is_inference() else tensor._version
