"""A module's structure as bytes, without its values: what is in its state_dict is left to the state's own file.

Owns the pickling of a live model, for a class whose constructor's arguments nobody wrote down, and of the values of
its program that no expression makes again. Classes and functions of the running program itself are named, never
pickled by reference: they come from the slice of its source.
"""

from __future__ import annotations

import functools
import io
import pickle
import sys
import types
from typing import Any

import torch
from torch import nn
from torch.nn.utils import parametrize

from .helpers import BARE, FILL, METHOD, PARAMETRIZE
from .mentions import cells_of
from .room import Room, TooMuch, weigh
from .slices import Slice, home_of
from .values import FRESH, placed, spell


class _Named:
    """Stands for what `captured.py` has under a name."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __call__(self) -> None:
        """Nothing is called here: a pickler asks whether it could be."""


class Structure(pickle.Pickler):
    """Pickles a model; `extra` are tensors that are in no state_dict, and what it is made of goes into `piece`."""

    def __init__(self, model: nn.Module, piece: Slice) -> None:
        self._stream = io.BytesIO()
        super().__init__(self._stream, protocol=4)
        self._model = model
        self._piece = piece
        self._names: dict[int, str] = {}
        for name, tensor in model.state_dict(keep_vars=True).items():
            if isinstance(tensor, torch.Tensor):
                self._names.setdefault(id(tensor), name)
        self._kept: list[Any] = []
        """Keeps what was numbered alive, so that no other object gets its id."""
        self._numbers: dict[int, int] = {}
        self._led: dict[int, Any] = {}
        """Class or function → what `persistent_id` answers for it."""
        self.extra: list[torch.Tensor] = []

    def run(self, thing: Any) -> bytes:
        """The bytes. Raises whatever its parts raise when they are pickled."""
        self.dump(thing)
        return self._stream.getvalue()

    def persistent_id(self, obj: Any) -> Any:
        if isinstance(obj, torch.Tensor) and type(obj) in (torch.Tensor, nn.Parameter, nn.Buffer):
            return self._tensor(obj)
        if isinstance(obj, _Named):
            return ("typed", obj.name)
        if isinstance(obj, (type, types.FunctionType)):
            if id(obj) not in self._led:  # one class has many objects
                self._led[id(obj)] = self._leads_to(obj)
                self._kept.append(obj)
            return self._led[id(obj)]
        if type(obj) in FRESH or isinstance(obj, (functools._lru_cache_wrapper, torch.jit.ScriptFunction)):
            return ("typed", self._piece.keep(obj))
        return None

    def _leads_to(self, obj: Any) -> Any:
        """The name of a class or function in `captured.py`; None for what is imported or made by `_function`."""
        if home_of(obj) is not None:
            self._piece.copies.add(sys.modules.get(obj.__module__))
        elif isinstance(obj, type) or not _has_state(obj) or placed(obj, self._piece):
            return ("typed", self._name(obj))
        return None

    def _name(self, obj: Any) -> str:
        """A dotted name in `captured.py`."""
        try:
            return spell(obj, self._piece)
        except ValueError as problem:
            raise pickle.PicklingError(f"{problem}, is part of it") from None

    def reducer_override(self, obj: Any) -> Any:
        """A module without the hooks of recorders, which belong to this program and not to the model; a module with
        parametrizations, which torch itself does not pickle; a function that closes over something."""
        if isinstance(obj, types.FunctionType) and home_of(obj) is None and _has_state(obj):
            return self._function(obj)
        if isinstance(obj, types.MethodType) and _was_put_there(obj):
            return _Named(self._piece.helper(METHOD)), (obj.__func__, obj.__self__)
        if not isinstance(obj, nn.Module):
            return NotImplemented
        made: Any
        if parametrize.is_parametrized(obj):
            bare, then = (_Named(self._piece.helper(name)) for name in (BARE, PARAMETRIZE))
            made = (bare, (type(obj).__bases__[0],), dict(vars(obj)), None, None, then)
        elif any(map(_is_ours, obj._forward_pre_hooks.values())):
            made = obj.__reduce_ex__(4)
        else:
            return NotImplemented
        if not isinstance(made, tuple) or len(made) < 3 or not isinstance(made[2], dict):
            return NotImplemented
        state = dict(made[2])
        ours = {key for key, hook in obj._forward_pre_hooks.items() if _is_ours(hook)}
        for name in ("_forward_pre_hooks", "_forward_pre_hooks_with_kwargs"):
            held = state.get(name, {})
            state[name] = type(held)((key, hook) for key, hook in held.items() if key not in ours)
        return (*made[:2], state, *made[3:])

    def _function(self, function: types.FunctionType) -> tuple[Any, ...]:
        """Made with empty cells first, for it may close over what holds it."""
        try:
            maker = self._piece.maker(function)
        except ValueError as problem:
            raise pickle.PicklingError(f"{problem}, is part of it") from None
        cells = tuple(cells_of(function).values())
        state = (cells, function.__defaults__, function.__kwdefaults__)
        return (_Named(maker), (), state, None, None, _Named(self._piece.helper(FILL)))

    def _tensor(self, tensor: torch.Tensor) -> tuple[Any, ...]:
        parameter = isinstance(tensor, nn.Parameter)
        name = self._names.get(id(tensor))
        if name is not None and tensor.layout is torch.strided and not tensor.is_quantized:
            dtype = str(tensor.dtype).removeprefix("torch.")
            return ("state", name, dtype, tuple(tensor.shape), parameter, bool(tensor.requires_grad))
        if id(tensor) not in self._numbers:
            self._numbers[id(tensor)] = len(self.extra)
            self._kept.append(tensor)
            self.extra.append(tensor.detach().cpu())
        return ("extra", self._numbers[id(tensor)], parameter, bool(tensor.requires_grad))


def kept_values(model: nn.Module, piece: Slice, room: tuple[int, int, int]) -> dict[str, Any]:
    """Those of the program's values that no expression makes and that can be pickled; the others are left out.

    room: what one of them may hold, as in `Room`.
    """
    values: dict[str, Any] = {}
    while piece.pending:
        name, value = piece.pending.popitem()
        try:
            weigh(model, Room(*room), value)
            Structure(model, piece).run(value)  # what it leads to
            values[name] = value
        except TooMuch as problem:
            piece.left_out[name] = f"a {type(value).__name__} of the program that holds {problem}"
        except Exception as problem:  # noqa: BLE001 (objects run their own code when they are pickled)
            kind = type(value).__name__
            piece.left_out[name] = f"a {kind} of the program that cannot be written down ({problem})"
    return values


def _has_state(function: types.FunctionType) -> bool:
    return bool(function.__closure__ or function.__defaults__ or function.__kwdefaults__)


def _was_put_there(method: types.MethodType) -> bool:
    """Whether an object has it that its class does not have under this name."""
    owner = method.__self__
    return not isinstance(owner, type) and getattr(type(owner), method.__name__, None) is not method.__func__


def _is_ours(hook: Any) -> bool:
    """Whether a hook is a recorder's."""
    return type(getattr(hook, "__self__", None)).__module__.startswith("workbench.recorder.")


FROM_OBJECT = '''

def captured_object():
    """(the captured model, or None; values of its program): the structure as it was, without what the state holds."""
    import hashlib, io, os, pickle, torch

    place = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    with open(os.path.join(place, "{object}"), "rb") as stream:
        data = stream.read()
    if hashlib.sha256(data).hexdigest() != "{sha256}":
        raise RuntimeError("{object} is no longer what was captured")
    extra = torch.load(os.path.join(place, "{extra}"), map_location="cpu", weights_only=True) if {extras} else []
    made = {{}}

    class Reader(pickle.Unpickler):
        def persistent_load(self, key):
            if key[0] == "typed":
                found = globals()[key[1].split(".")[0]]
                for part in key[1].split(".")[1:]:
                    found = getattr(found, part)
                return found
            if key not in made:
                if key[0] == "state":
                    tensor, (parameter, grad) = torch.empty(key[3], dtype=getattr(torch, key[2])), key[4:]
                else:
                    tensor, (parameter, grad) = extra[key[1]], key[2:]
                made[key] = torch.nn.Parameter(tensor, requires_grad=grad) if parameter else tensor
            return made[key]

    return Reader(io.BytesIO(data)).load()


def {factory}():
    """The captured model, whose values come from the state beside it."""
    model, values = captured_object()
    globals().update(values)
    return {model}
'''

FROM_ARGUMENTS = '''

def {factory}():
    """The captured model, made as the program made it."""
    return {model}
'''
