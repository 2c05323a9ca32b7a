"""Modules constructed with their parameters on the meta device, and what no file can fill of them afterwards."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch
from torch import nn


@contextlib.contextmanager
def parameters_on_meta() -> Iterator[None]:
    """Modules constructed inside have their parameters on the meta device: no memory, no initialisation.

    Buffers and everything else are real, so that non-persistent buffers and constructors that compute with plain
    tensors come out right. A parameter registered twice stays one parameter.
    """
    original = nn.Module.register_parameter

    def register(self: nn.Module, name: str, param: nn.Parameter | None) -> None:
        if type(param) is nn.Parameter and not param.is_meta:
            known = getattr(param, "_workbench_meta", None)
            if known is None:
                known = nn.Parameter(param.detach().to("meta"), requires_grad=param.requires_grad)
                param._workbench_meta = known  # type: ignore[attr-defined]
            param = known
        original(self, name, param)

    nn.Module.register_parameter = register  # type: ignore[method-assign]
    try:
        yield
    finally:
        nn.Module.register_parameter = original  # type: ignore[method-assign]


def left_on_meta(model: nn.Module) -> list[str]:
    """Names of tensors that have no values yet: parameters, buffers, and tensors in plain attributes."""
    left = [name for name, tensor in model.named_parameters() if tensor.is_meta]
    left += [name for name, tensor in model.named_buffers() if tensor.is_meta]
    return left + [name for name, tensors in _in_attributes(model) if any(tensor.is_meta for tensor in tensors)]


def in_no_file(model: nn.Module) -> list[str]:
    """Names of tensors that a state_dict does not hold: non-persistent buffers, and tensors in plain attributes."""
    held = [
        f"{path}.{name}".lstrip(".")
        for path, module in model.named_modules()
        for name, buffer in module._buffers.items()
        if buffer is not None and name in module._non_persistent_buffers_set
    ]
    return held + [name for name, _ in _in_attributes(model)]


def _in_attributes(model: nn.Module) -> Iterator[tuple[str, list[torch.Tensor]]]:
    """(name, tensors) of every plain attribute that is a tensor, or a list, tuple or dict with some."""
    for path, module in model.named_modules():
        for key, value in vars(module).items():
            if key in ("_parameters", "_buffers", "_modules"):
                continue
            held = value if isinstance(value, (list, tuple)) else value.values() if isinstance(value, dict) else [value]
            if tensors := [item for item in held if isinstance(item, torch.Tensor)]:
                yield f"{path}.{key}" if path else key, tensors
