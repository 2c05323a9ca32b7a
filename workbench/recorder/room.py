"""How much a model holds beside its state, weighed before any of it is written: a recording is bounded.

Owns the bounds of what is pickled. A model may hold a replay buffer, a cache or a whole dataset; the part of a
recording for which a forward waits must be small, and the rest must not fill a disk. Nothing is copied to be weighed.
"""

from __future__ import annotations

import copyreg
import pickle
import types
from typing import Any

import torch
from torch import nn


class TooMuch(Exception):
    """There is no room for it; its text says of what there is more."""


class Room:
    """What may be written of a model's parts together."""

    def __init__(self, tensors: int, plain: int, objects: int) -> None:
        """tensors: bytes of tensors. plain: bytes of everything else, pickled. objects: how many, each of which takes a
        pickler a moment."""
        self._most = self._tensors, self._plain, self._objects = tensors, plain, objects
        self._counted: set[int] = set()

    def tensor(self, tensor: torch.Tensor, called: str) -> None:
        """Count a tensor's memory, once for all that share it. Raises TooMuch."""
        for place, size in _memory(tensor):
            if place not in self._counted:
                self._counted.add(place)
                self._tensors -= size
        if self._tensors < 0:
            raise TooMuch(f"tensors of more than {self._most[0] / 2**20:.0f} MB, {called} among them")

    def plain(self, size: int) -> None:
        """Count bytes of anything else. Raises TooMuch."""
        self._plain -= size
        if self._plain < 0:
            raise TooMuch(f"more than {self._most[1] / 2**20:.0f} MB that are no tensors")

    def ready_for(self, size: int) -> None:
        """Look ahead, where counting the bytes would make a copy of them first. Raises TooMuch."""
        if size > self._plain:
            self.plain(size)

    def object(self) -> None:
        """Count one more. Raises TooMuch."""
        self._objects -= 1
        if self._objects < 0:
            raise TooMuch(f"more than {self._most[2]:,} objects")


def weigh_state(model: nn.Module, room: Room) -> None:
    """Count a model's state_dict, what is no tensor of it too. Raises TooMuch."""
    state = model.state_dict()
    for name, one in state.items():
        if isinstance(one, torch.Tensor):
            room.tensor(one, name)
    _Scales(set(), model, room).put([one for one in state.values() if not isinstance(one, torch.Tensor)])


def weigh(model: nn.Module, room: Room, thing: Any = None) -> None:
    """Count what a pickler would write of a model, or of a thing beside it, beside the tensors of its state_dict.

    Raises TooMuch.

    What cannot be pickled weighs nothing: that it cannot is found by who writes it.
    """
    known = {id(one) for one in model.state_dict(keep_vars=True).values() if isinstance(one, torch.Tensor)}
    _Scales(known, model, room).put(model if thing is None else thing)


class _Scales(pickle.Pickler):
    """A pickler whose bytes are counted and go nowhere."""

    def __init__(self, state: set[int], model: nn.Module, room: Room) -> None:
        super().__init__(self, protocol=4)
        self._state, self._model, self._room = state, model, room
        self._closed_over: list[Any] = []
        self._functions: set[int] = set()

    def put(self, thing: Any) -> None:
        self._closed_over.append(thing)
        try:
            while self._closed_over:
                self.dump(self._closed_over.pop())
        except TooMuch:
            raise
        except Exception:  # noqa: BLE001 (parts of the model run their own code when they are pickled)
            return  # the pickler that writes it ends here, too

    def write(self, data: Any) -> int:
        self._room.plain(len(data))
        return len(data)

    def persistent_id(self, obj: Any) -> Any:
        self._room.object()
        if isinstance(obj, torch.Tensor):
            if id(obj) not in self._state:
                self._room.tensor(obj, _called(obj, self._model))
            return ""
        if isinstance(obj, type) or type(obj).__module__.startswith("workbench.recorder."):
            return ""
        if isinstance(obj, types.FunctionType):
            if id(obj) not in self._functions:
                self._functions.add(id(obj))
                self._closed_over += [obj.__defaults__, obj.__kwdefaults__, *_cells(obj)]
            return ""
        return None

    def reducer_override(self, obj: Any) -> Any:
        """Any object by what it is made of, as torch and Python pickle it; what cannot be, or is a name, as nothing."""
        if type(obj).__module__ == "numpy":
            self._room.ready_for(int(obj.nbytes))
        try:
            known = copyreg.dispatch_table.get(type(obj))
            made = known(obj) if known is not None else obj.__reduce_ex__(4)
        except Exception:  # noqa: BLE001 (objects run their own code when they are pickled)
            return str, ()
        return made if isinstance(made, tuple) else (str, ())


def _cells(function: types.FunctionType) -> list[Any]:
    found = []
    for cell in function.__closure__ or ():
        try:
            found.append(cell.cell_contents)
        except ValueError:  # not set yet
            continue
    return found


def _called(tensor: torch.Tensor, model: nn.Module) -> str:
    """The attribute that holds a tensor, or its dtype and shape where a container does."""
    for name, module in model.named_modules():
        for key, value in vars(module).items():
            if value is tensor:
                return f"{name}.{key}" if name else key
    return f"a {str(tensor.dtype).removeprefix('torch.')}{list(tensor.shape)}"


_PARTS = {
    torch.sparse_coo: ("_indices", "_values"),
    torch.sparse_csr: ("crow_indices", "col_indices", "values"),
    torch.sparse_bsr: ("crow_indices", "col_indices", "values"),
    torch.sparse_csc: ("ccol_indices", "row_indices", "values"),
    torch.sparse_bsc: ("ccol_indices", "row_indices", "values"),
}


def _memory(tensor: torch.Tensor) -> list[tuple[int, int]]:
    """(what tells it from other memory, its bytes) of each piece of memory that saving a tensor writes: all of the
    storage that it looks at, but only the elements where the storage is on another device, or not to be had."""
    if tensor.is_meta:
        return []
    names = _PARTS.get(tensor.layout)
    if names is not None:
        return [one for name in names for one in _memory(getattr(tensor.detach(), name)())]
    try:
        storage = tensor.untyped_storage()
        if tensor.device.type == "cpu":
            return [(storage._cdata, storage.nbytes())]
    except (RuntimeError, NotImplementedError):
        pass
    return [(id(tensor), tensor.numel() * tensor.element_size())]
