"""What a typed line changed on the model: train flags, values, requires_grad, modules. It changes nothing itself.

Owns the record from before a line and the words for what is other after it. Values changed past torch's own
counting (`weight.data.mul_(2)`) are counted here, so that no replay mistakes them for the old ones.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from workbench.worker.judge.leaves import Flat
from workbench.worker.judge.store import detached, same_bits

COPY_BUDGET = 1 << 30
"""Bytes of values that are copied before a line; what lies beyond is watched by torch's version counter alone."""
MOST_WORDS = 8
"""Changes that are told; more are counted."""


@dataclass(frozen=True)
class _Tensor:
    tensor: torch.Tensor
    copy: Flat | None
    version: int
    requires_grad: bool


class Before:
    """A model as it was."""

    def __init__(self, model: nn.Module) -> None:
        self._model = model
        self._modules = dict(model.named_modules())
        self._flags = {path: module.training for path, module in self._modules.items()}
        self._left = COPY_BUDGET
        self._tensors = {name: self._record(tensor) for name, tensor in _tensors(model).items()}

    def rebuilt(self) -> bool:
        """Whether modules were put in, taken out or replaced."""
        now = dict(self._model.named_modules())
        return list(now) != list(self._modules) or any(now[path] is not self._modules[path] for path in now)

    def changed(self) -> tuple[str, ...]:
        """What is other now, in words, each about one thing."""
        words = [*self._other_modules(), *self._other_flags(), *self._other_tensors()]
        if len(words) > MOST_WORDS:
            words[MOST_WORDS:] = [f"and {len(words) - MOST_WORDS} more"]
        return tuple(words)

    def _other_modules(self) -> list[str]:
        now = dict(self._model.named_modules())
        words = [f"{path or 'the model'}: gone" for path in self._modules if path not in now]
        for path, module in now.items():
            if path not in self._modules:
                words.append(f"{path}: a new {type(module).__name__}")
            elif module is not self._modules[path]:
                words.append(f"{path}: another {type(module).__name__}")
        return words

    def _other_flags(self) -> list[str]:
        now = {path: module.training for path, module in self._model.named_modules()}
        turned = [path for path, flag in now.items() if path in self._flags and self._flags[path] != flag]
        words = []
        for flag, word in ((True, "train"), (False, "eval")):
            paths = [path for path in turned if now[path] is flag]
            if len(paths) > 1 and len(set(now.values())) == 1:
                words.append(f"the whole model: {word} mode")
            elif len(paths) > 3:
                words.append(f"{len(paths)} modules: {word} mode, the first is {paths[0] or 'the root'}")
            else:
                words += [f"{path or 'the root'}: {word} mode" for path in paths]
        return words

    def _other_tensors(self) -> list[str]:
        now = _tensors(self._model)
        words = [f"{name}: gone" for name in self._tensors if name not in now]
        for name, tensor in now.items():
            before = self._tensors.get(name)
            if before is None:
                words.append(f"{name}: new")
            elif tensor is not before.tensor and not _same(name, before, tensor):
                words.append(f"{name}: another tensor, {_form(tensor)}")
            elif tensor is before.tensor and not _same(name, before, tensor):
                words.append(f"{name}: {_how(before, tensor)}")
            if before is not None and tensor.requires_grad != before.requires_grad:
                words.append(f"{name}: requires_grad {'on' if tensor.requires_grad else 'off'}")
        return words

    def _record(self, tensor: torch.Tensor) -> _Tensor:
        copy: Flat | None = None
        if tensor.layout is torch.strided and tensor.nbytes <= self._left:
            self._left -= tensor.nbytes
            copy = detached(_flat(tensor))
        return _Tensor(tensor, copy, _version(tensor), tensor.requires_grad)


def _same(name: str, before: _Tensor, now: torch.Tensor) -> bool:
    if before.copy is None:
        return now is before.tensor and _version(now) == before.version
    return same_bits(before.copy, _flat(now))


def _how(before: _Tensor, now: torch.Tensor) -> str:
    """How the very same tensor is other; a change that torch did not count is counted."""
    if before.copy is not None:
        old = before.copy.leaves[0][1]
        if old.dtype != now.dtype or old.shape != now.shape:
            return f"{_form(now)} now"
    if _version(now) == before.version and not now.is_inference():
        torch.autograd.graph.increment_version(now)
    return "values"


def _tensors(model: nn.Module) -> dict[str, torch.Tensor]:
    held: dict[str, Any] = dict(model.named_parameters(remove_duplicate=False))
    held.update(model.named_buffers(remove_duplicate=False))
    return {name: tensor for name, tensor in held.items() if not nn.parameter.is_lazy(tensor)}


def _flat(tensor: torch.Tensor) -> Flat:
    return Flat("", [("", tensor)])


def _form(tensor: torch.Tensor) -> str:
    sizes = ",".join(map(str, tensor.shape))
    return f"{str(tensor.dtype)[6:]}[{sizes}] on {tensor.device}"


def _version(tensor: torch.Tensor) -> int:
    return -1 if tensor.is_inference() else tensor._version
