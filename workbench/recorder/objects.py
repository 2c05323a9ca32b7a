"""A module's structure as bytes, without its values: what is in its state_dict is left to the state's own file.

Owns the pickling of a live model, for a class whose constructor's arguments nobody wrote down. Classes and functions
of the running program itself are named, never pickled by reference: they come from the slice of its source.
"""

from __future__ import annotations

import io
import pickle
import sys
import types
from typing import Any

import torch
from torch import nn

from .source import is_typed, is_users


class Structure(pickle.Pickler):
    """Pickles one model into `data`; `extra` are tensors that are in no state_dict, `roots` what it is made of."""

    def __init__(self, model: nn.Module) -> None:
        self._stream = io.BytesIO()
        super().__init__(self._stream, protocol=4)
        self._model = model
        self._names: dict[int, str] = {}
        for name, tensor in model.state_dict(keep_vars=True).items():
            if isinstance(tensor, torch.Tensor):
                self._names.setdefault(id(tensor), name)
        self._kept: list[Any] = []
        """Keeps what was numbered alive, so that no other object gets its id."""
        self._numbers: dict[int, int] = {}
        self.extra: list[torch.Tensor] = []
        self.roots: dict[str, Any] = {}

    def run(self) -> bytes:
        """The bytes. Raises whatever the model's parts raise when they are pickled."""
        self.dump(self._model)
        return self._stream.getvalue()

    def persistent_id(self, obj: Any) -> Any:
        if isinstance(obj, torch.Tensor) and type(obj) in (torch.Tensor, nn.Parameter, nn.Buffer):
            return self._tensor(obj)
        if isinstance(obj, (type, types.FunctionType)):
            owner = getattr(obj, "__module__", "") or ""
            if "<lambda>" in obj.__qualname__:
                raise pickle.PicklingError(f"a lambda, {obj.__qualname__}, is part of the model")
            if is_typed(owner) and owner != "builtins":
                name = obj.__qualname__.split("<locals>.")[-1]
                self.roots[name.split(".")[0]] = obj
                return ("typed", name)
            if is_users(sys.modules.get(owner)):
                self.roots[f"{owner}:{obj.__qualname__}"] = obj
        return None

    def reducer_override(self, obj: Any) -> Any:
        """A module without the hooks of recorders, which belong to this program and not to the model."""
        if not isinstance(obj, nn.Module) or not any(map(_is_ours, obj._forward_pre_hooks.values())):
            return NotImplemented
        made = obj.__reduce_ex__(4)
        if not isinstance(made, tuple) or len(made) < 3 or not isinstance(made[2], dict):
            return NotImplemented
        state = dict(made[2])
        ours = {key for key, hook in obj._forward_pre_hooks.items() if _is_ours(hook)}
        for name in ("_forward_pre_hooks", "_forward_pre_hooks_with_kwargs"):
            held = state.get(name, {})
            state[name] = type(held)((key, hook) for key, hook in held.items() if key not in ours)
        return (*made[:2], state, *made[3:])

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


def _is_ours(hook: Any) -> bool:
    """Whether a hook is a recorder's."""
    return type(getattr(hook, "__self__", None)).__module__.startswith("workbench.recorder.")


FROM_OBJECT = '''

def {factory}():
    """The captured model: its structure as it was, its values from the state beside it."""
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
'''

FROM_ARGUMENTS = '''

def {factory}():
    """The captured model, made as the program made it."""
    return {name}(**{kwargs!r}).train({training})
'''
