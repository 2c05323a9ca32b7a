"""Where the model's numbers live: casts to a dtype and moves to a device, all or nothing.

Owns the memory of each model's dtypes as loaded (held weakly). It never changes values on purpose: what a cast
rounds away is said by whoever asked for the cast.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterator

import torch
from torch import nn

from workbench.protocol.failures import error

_LOADED: weakref.WeakKeyDictionary[nn.Module, dict[str, torch.dtype]] = weakref.WeakKeyDictionary()


def as_loaded(model: nn.Module) -> dict[str, torch.dtype]:
    """Name → dtype of every parameter and buffer, as it was when this was first asked about this model."""
    if model not in _LOADED:
        _LOADED[model] = {
            name: tensor.dtype
            for module_path, module in model.named_modules()
            for name, tensor in _own(module_path, module)
        }
    return _LOADED[model]


def dtype_named(name: str) -> torch.dtype | None:
    """The floating dtype called `name`; None for "" (as loaded). Raises `WorkbenchError("usage")`."""
    if not name:
        return None
    found = getattr(torch, name, None)
    if not isinstance(found, torch.dtype) or not found.is_floating_point:
        remedy = "Use float32, float64, float16 or bfloat16."
        raise error("usage", f"{name!r} is no floating dtype.", "--dtype", remedy)
    return found


def usable_device(name: str) -> torch.device:
    """The device called `name`, after a tensor was made there. Raises `WorkbenchError("device")`."""
    here = ", ".join(devices())
    try:
        device = torch.device(name)
        if device.type == "meta":
            raise RuntimeError("tensors on meta have no values")
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError, ImportError, NotImplementedError, AttributeError) as problem:
        reason = str(problem).split("\n")[0]
        message = f"The device {name!r} is not there: {reason}"
        raise error("device", message, "--device", f"This machine has {here}.", str(problem)) from problem
    if device.type == "cuda" and device.index is None:
        return torch.device("cuda", torch.cuda.current_device())
    return device


def devices() -> tuple[str, ...]:
    """Devices of this machine that torch can use."""
    found = ["cpu", *(f"cuda:{index}" for index in range(torch.cuda.device_count()))]
    if torch.backends.mps.is_available():
        found.append("mps")
    return tuple(found)


def move(model: nn.Module, dtype: str, device: str, loaded: dict[str, torch.dtype]) -> None:
    """Floating parameters and buffers to `dtype` ("": each to its own of `loaded`), and everything to `device`.

    Shared tensors stay shared. When one does not fit, every one moved so far is put back and the error goes on.
    """
    target, place = dtype_named(dtype), torch.device(device)
    moved: dict[int, torch.Tensor] = {}
    undo: list[tuple[torch.Tensor, torch.Tensor, torch.Tensor | None]] = []
    buffers: list[tuple[dict[str, torch.Tensor | None], str, torch.Tensor]] = []
    try:
        for path, module in model.named_modules():
            for name, parameter in module._parameters.items():
                if parameter is None or id(parameter) in moved or nn.parameter.is_lazy(parameter):
                    continue
                moved[id(parameter)] = parameter
                wanted = _wanted(parameter, target, loaded.get(_join(path, name)))
                undo.append((parameter, parameter.data, parameter.grad))
                parameter.data = parameter.data.to(device=place, dtype=wanted)
                if parameter.grad is not None:
                    parameter.grad = parameter.grad.to(device=place, dtype=wanted)
            for name, buffer in module._buffers.items():
                if buffer is None:
                    continue
                if id(buffer) not in moved:
                    wanted = _wanted(buffer, target, loaded.get(_join(path, name)))
                    moved[id(buffer)] = buffer.to(device=place, dtype=wanted)
                buffers.append((module._buffers, name, buffer))
                module._buffers[name] = moved[id(buffer)]
    except BaseException:
        for holder, name, old in buffers:
            holder[name] = old
        for tensor, data, gradient in undo:
            tensor.grad = None
            tensor.data = data
            tensor.grad = gradient
        raise
    _refresh_rnn(model)


def _refresh_rnn(model: nn.Module) -> None:
    """cuDNN wants the weights of a recurrent layer in one block; `Module.to` does this in `_apply`."""
    for module in model.modules():
        if isinstance(module, nn.RNNBase):
            module.flatten_parameters()


def _wanted(tensor: torch.Tensor, target: torch.dtype | None, own: torch.dtype | None) -> torch.dtype:
    if not tensor.dtype.is_floating_point:
        return tensor.dtype
    return target or own or tensor.dtype


def _own(path: str, module: nn.Module) -> Iterator[tuple[str, torch.Tensor]]:
    for held in (module._parameters, module._buffers):
        for name, tensor in held.items():
            if tensor is not None:
                yield _join(path, name), tensor


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name
