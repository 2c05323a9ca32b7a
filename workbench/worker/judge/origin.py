"""Where a dtype or a device that a module refuses comes from: the failed run once more, watched operator by operator.

Owns the replay and the words. Afterwards the model is as it was.
"""

from __future__ import annotations

import dataclasses
import sys
from typing import Any

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from workbench.protocol.failures import Failure
from workbench.worker.bench.diagnosis import Scene, explain, scene_of
from workbench.worker.bench.failing import is_users
from workbench.worker.bench.sampling import map_tensors, tensors_in
from workbench.worker.judge.snapshot import untouched_model

_ABOUT = ("computes in", "has its parameters in", "mixes tensors of different devices", "are on different devices")
"""What a message says when a dtype or a device is at fault."""


def explain_from_start(problem: BaseException, model: nn.Module, args: Any, kwargs: dict[str, Any]) -> Failure:
    """`explain`, and for a dtype or a device that is wrong on the way, the module and line at which it starts.

    Costs one more forward in that case. Never raises.
    """
    failure = explain(problem, model, args, kwargs)
    if not any(words in failure.message for words in _ABOUT):
        return failure
    scene = scene_of(problem, model, args, kwargs)
    if scene.argument or (scene.tensor is None and failure.kind != "device"):
        return failure
    watch = _Watch(scene, model, tensors_in((args, kwargs)))
    try:
        with untouched_model(model, args, kwargs), torch.no_grad(), watch:
            model(*map_tensors(tuple(args), torch.clone), **map_tensors(kwargs, torch.clone))
    except Exception as again:  # noqa: BLE001 (it failed before, and most often does again)
        watch.met(scene_of(again, model, args, kwargs).tensor)
    if not watch.words:
        return failure
    return dataclasses.replace(failure, message=f"{failure.message.rstrip('.')}. {watch.words}")


class _Watch(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Notes the first operator that meets or makes what is wrong.

    Where an input has the refused dtype itself, it starts nowhere: then the module is noted that made each tensor.
    """

    def __init__(self, scene: Scene, model: nn.Module, inputs: list[torch.Tensor]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.words = ""
        tensor = scene.tensor
        usual = next((one.device for one in model.parameters()), torch.device("cpu"))
        self._device = usual
        self._dtype = tensor.dtype if tensor is not None and _wrong_dtype(scene) else None
        self._paths = {id(module): path for path, module in model.named_modules()}
        self._held = {_address(one): f"the parameter {name}" for name, one in model.named_parameters()}
        self._held |= {_address(one): f"the buffer {name}" for name, one in model.named_buffers()}
        self._given = any(one.dtype == self._dtype for one in inputs)
        self._made: dict[int, str] = {}
        """By the address of a tensor of the refused dtype: the words for what made it so."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        wrong = [] if self.words else [one for one in tensors_in((args, kwargs)) if self._is_wrong(one)]
        if wrong and not self._given:
            held = self._held.get(_address(wrong[0]), "a tensor made outside torch, or kept from before")
            self.words = self._placed(f"{held} is {self._what(wrong[0])}, which comes in")
        output = func(*args, **kwargs)
        made = [] if self.words else [one for one in tensors_in(output) if self._is_wrong(one)]
        if made and self._given:
            self._follow(func, wrong, made)
        elif made:
            self.words = self._placed(f"it becomes {self._what(made[0])} at {func.__name__.partition('.')[0]}")
        return output

    def _follow(self, func: Any, wrong: list[torch.Tensor], made: list[torch.Tensor]) -> None:
        """What made these tensors so: the cast, the module whose weights came in, or what made what came in."""
        if not wrong:
            words = self._placed(f"it becomes {self._what(made[0])} at {func.__name__.partition('.')[0]}")
        elif any(_address(one) in self._held for one in wrong):
            words = f"{self._running()[0]} answers {self._what(made[0])}, as its own weights are."
        else:
            words = next((self._made[_address(one)] for one in wrong if _address(one) in self._made), "")
        for one in made:
            self._made[_address(one)] = words

    def met(self, tensor: torch.Tensor | None) -> None:
        """The run ended at a module that refuses this tensor."""
        if self.words or not self._given or tensor is None or not self._is_wrong(tensor):
            return
        self.words = self._made.get(_address(tensor), "") or "So is an input, and nothing casts it on the way."

    def _is_wrong(self, tensor: torch.Tensor) -> bool:
        if self._dtype is not None:  # (a scalar tensor does not decide the dtype of what it is combined with)
            return tensor.dtype == self._dtype and tensor.dim() > 0
        return tensor.device != self._device

    def _what(self, tensor: torch.Tensor) -> str:
        return str(tensor.device) if self._dtype is None else str(tensor.dtype)[6:]

    def _placed(self, words: str) -> str:
        """The words as a sentence, with the innermost module of the model and the user's line that are running."""
        module, line = self._running()
        place = " in ".join(part for part in (line, module) if part)
        sentence = f"{words}, {place}" if place else words
        return f"{sentence[0].upper()}{sentence[1:]}."

    def _running(self) -> tuple[str, str]:
        """(the innermost module of the model, the user's line)."""
        module, line = "", ""
        frame: Any = sys._getframe(1)
        while frame is not None and not (module and line):
            owner = frame.f_locals.get("self")
            if not module and isinstance(owner, nn.Module) and id(owner) in self._paths:
                module = f"{self._paths[id(owner)] or 'the model'} ({type(owner).__name__})"
            if not line and is_users(frame.f_code.co_filename):
                line = f"{frame.f_code.co_filename}:{frame.f_lineno}"
            frame = frame.f_back
        return module, line


def _wrong_dtype(scene: Scene) -> bool:
    tensor = scene.tensor
    return tensor is not None and bool(scene.holds) and str(tensor.dtype)[6:] != scene.holds


def _address(tensor: torch.Tensor) -> int:
    try:
        return tensor.untyped_storage().data_ptr() or id(tensor)
    except (RuntimeError, NotImplementedError):  # sparse and meta tensors have none
        return id(tensor)
