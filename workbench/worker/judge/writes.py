"""Who writes into the inputs or the parameters of a forward: module, operator and the user's line.

Owns the dispatch mode that sees it. It changes no value; the forward itself does, so it is run on copies of the inputs
and inside `kept_as_it_is`.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from workbench.protocol.model import Modes
from workbench.worker.bench.modes import running
from workbench.worker.bench.sampling import tensors_in
from workbench.worker.job import Job
from workbench.worker.judge.live import copies_of
from workbench.worker.judge.mode import Mode
from workbench.worker.judge.replay import Parts
from workbench.worker.judge.watch import Watcher, users_line


@dataclass(frozen=True)
class Write:
    """One operator that wrote into something it should leave alone."""

    what: str
    """ "input 0", or the name of a parameter."""
    path: str
    """Path of the innermost module that called it."""
    type: str
    """Class of that module."""
    operator: str
    function: str
    where: str
    """file:line of the user's code."""


class _Writes(Mode):
    """Lists operators that write into memory that is watched."""

    def __init__(self, watcher: Watcher, places: dict[int, str]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.found: list[Write] = []
        self._watcher, self._places = watcher, places

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func._schema.is_mutable:
            for place, argument in enumerate(func._schema.arguments):
                if argument.alias_info is None or not argument.alias_info.is_write:
                    continue
                value = args[place] if place < len(args) else kwargs.get(argument.name)
                for tensor in tensors_in(value):
                    self._note(func, tensor)
        return func(*args, **kwargs)

    def _note(self, func: Any, tensor: torch.Tensor) -> None:
        what = self._places.get(_place(tensor), "")
        if not what or any(one.what == what for one in self.found):
            return
        where, function = users_line(sys._getframe(2))
        call = self._watcher.stack[-1] if self._watcher.stack else None
        path, kind = (call.path, type(call.module).__name__) if call is not None else ("", "")
        self.found.append(Write(what, path, kind, str(func.overloadpacket), function, where))


def writes(model: nn.Module, modes: Modes, args: Any, kwargs: Any, job: Job) -> list[Write]:
    """The first write into each input and each parameter that one forward makes; only inside `kept_as_it_is`."""
    parts = Parts(model)
    args, kwargs = copies_of(args, kwargs)
    places = {_place(one): f"input {number}" for number, one in enumerate(tensors_in((args, kwargs)))}
    places |= {_place(one): name for name, one in model.named_parameters()}
    places.pop(0, None)
    watcher = Watcher(parts.modules, job)
    with running(modes), watcher.on(), _Writes(watcher, places) as seen:
        model(*args, **kwargs)
    found: list[Write] = seen.found
    return found


def _place(tensor: torch.Tensor) -> int:
    if tensor.layout is not torch.strided or tensor.is_meta or nn.parameter.is_lazy(tensor):
        return 0
    return tensor.untyped_storage().data_ptr()
