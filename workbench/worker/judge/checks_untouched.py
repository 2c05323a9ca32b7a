"""Owns the promise that a check changes nothing: what a model holds is recorded before it, and put back after.

It never runs the model. What it records: parameters, buffers, submodules and attributes of every module (containers
by their items, tensors by value), train flags, requires_grad, gradients, hooks, the inputs, every global generator, the
number of threads and the default dtype.
"""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from workbench.worker.bench.sampling import tensors_in
from workbench.worker.judge.replay import Generators

if TYPE_CHECKING:
    from workbench.worker.bench.bench import Bench

COPY_BUDGET = 1 << 30
"""Bytes of tensor values that are copied, buffers and inputs first. Values beyond it are watched by their version,
and `Snapshot.lost` names those that changed: only building the model again brings them back."""

_CONTAINERS = (list, dict, set, deque)


@contextlib.contextmanager
def untouched(bench: Bench) -> Iterator[Snapshot]:
    """Inside, anything may run the bench's model; afterwards model, inputs and generators are as before."""
    with untouched_model(bench.model, bench.args, bench.kwargs) as snapshot:
        yield snapshot


@contextlib.contextmanager
def untouched_model(model: nn.Module, args: Any = (), kwargs: Any = None) -> Iterator[Snapshot]:
    """The same for a model and the tensors of one call."""
    threads, dtype = torch.get_num_threads(), torch.get_default_dtype()
    generators = Generators.take()
    snapshot = Snapshot(model, args, kwargs or {})
    try:
        yield snapshot
    finally:
        snapshot.restore()
        generators.put()
        if torch.get_num_threads() != threads:
            torch.set_num_threads(threads)
        torch.set_default_dtype(dtype)


class Snapshot:
    """What a model and its inputs hold at one moment."""

    def __init__(self, model: nn.Module, args: Any, kwargs: Any) -> None:
        self.lost: list[str] = []
        """After `restore`: names of tensors whose old values are gone (see `COPY_BUDGET`)."""
        self._modules = list(model.named_modules())
        self._attributes = [dict(vars(module)) for _, module in self._modules]
        self._items = [
            {name: _items(value) for name, value in held.items() if isinstance(value, _CONTAINERS)}
            for held in self._attributes
        ]
        self._tensors: dict[int, _Tensor] = {}
        self._left = COPY_BUDGET
        for number, tensor in enumerate(tensors_in((args, kwargs))):
            self._record(f"input {number}", tensor)
        self._buffers = [_buffers(module) for _, module in self._modules]
        parameters = [dict(module.named_parameters(recurse=False)) for _, module in self._modules]
        for group in (self._buffers, self._attributes, parameters):
            for (path, _), held in zip(self._modules, group):  # noqa: B905 (made together)
                for name, value in held.items():
                    if isinstance(value, torch.Tensor):
                        self._record(f"{path}.{name}" if path else name, value)

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
        for (path, module), items in zip(self._modules, self._items):  # noqa: B905 (made together)
            for name, before in items.items():
                now = vars(module).get(name)
                if not name.startswith("_forward") and isinstance(now, _CONTAINERS) and len(now) > len(before):
                    full = f"{path}.{name}" if path else name
                    found.append((full, type(now).__name__, len(before), len(now)))
        return found

    def restore(self) -> None:
        """Put everything back. Only what changed is written, so that versions of the rest stay."""
        for (_, module), attributes, items in zip(self._modules, self._attributes, self._items):  # noqa: B905
            own = vars(module)
            for name in [name for name in own if name not in attributes]:
                del own[name]
            for name, value in attributes.items():
                if own.get(name, own) is not value:
                    own[name] = value  # past __setattr__, which registers and checks
            for name, before in items.items():
                _refill(attributes[name], before)
        for tensor in self._tensors.values():
            if not tensor.restore():
                self.lost.append(tensor.name)

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


def _items(container: Any) -> list[Any]:
    return list(container.items()) if isinstance(container, dict) else list(container)


def _refill(container: Any, before: list[Any]) -> None:
    """Give a container the very items that it had, in place."""
    now = _items(container)
    if isinstance(container, dict):
        same = len(now) == len(before) and all(a[0] is b[0] and a[1] is b[1] for a, b in zip(now, before))  # noqa: B905
    else:
        same = len(now) == len(before) and all(a is b for a, b in zip(now, before))  # noqa: B905
    if same:
        return
    container.clear()
    if isinstance(container, (list, deque)):
        container.extend(before)
    else:
        container.update(before)


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
