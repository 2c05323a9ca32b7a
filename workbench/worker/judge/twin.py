"""Owns the float64 twin of a model: its copy, its answers, and whether these are really computed in float64.

The model itself is left as it was. It pools and judges nothing; that is `noise.py`'s.
"""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from workbench.worker.bench.failing import first_line
from workbench.worker.bench.modes import generators_kept
from workbench.worker.bench.sampling import map_tensors
from workbench.worker.job import Cancelled
from workbench.worker.judge.checks_places import FirstOperator
from workbench.worker.judge.leaves import Flat, flatten
from workbench.worker.judge.pieces import is_plain_tensor, shape_of

FINER = 64.0
"""A float64 run that computes in less somewhere is real all the same for a leaf whose eps is this many times as large:
float32 inside it says as much about a bfloat16 model as float64 would."""

_WIDE = (torch.float64, torch.complex128)
_NARROW = (torch.float32, torch.float16, torch.bfloat16, torch.complex64, torch.complex32)
_EIGHT_BITS = tuple(
    kind for name, kind in vars(torch).items() if name.startswith("float8") and isinstance(kind, torch.dtype)
)
_EPS = {kind: float(torch.finfo(kind).eps) for kind in (*_WIDE, *_NARROW, *_EIGHT_BITS)}


class NoYardstick(Exception):
    """Says why the float64 run is no yardstick."""


def float64_twin(model: nn.Module) -> nn.Module:
    """A deep copy whose floating parameters, buffers and tensor attributes are float64 (complex ones complex128).

    Raises `NoYardstick` when the model cannot be copied.
    """
    try:
        twin = copy.deepcopy(model).double()
        for module in twin.modules():
            for parameter in module._parameters.values():
                if parameter is not None and parameter.is_complex():
                    parameter.data = parameter.data.to(torch.complex128)
            for name, buffer in module._buffers.items():
                if buffer is not None and buffer.is_complex():
                    module._buffers[name] = buffer.to(torch.complex128)
            for name, value in list(vars(module).items()):
                if isinstance(value, torch.Tensor) and value.dtype in _NARROW:
                    object.__setattr__(module, name, _widened(value))
    except (Cancelled, KeyboardInterrupt):
        raise
    except Exception as problem:
        raise NoYardstick(f"the model cannot be copied for a float64 run: {first_line(problem)}") from problem
    return twin


def reference_outputs(
    twin: nn.Module, args: Any, kwargs: Any, seed: int = 0, eps: float = 0.0, held: list[Any] | None = None
) -> tuple[Flat, str]:
    """One case's float64 answer, under no_grad and with generators seeded, and where it computed in less ("" nowhere).

    `args`, `kwargs`: eager's, copied and widened here; the copies are put into `held`. `eps`: of eager's most exact
    floating leaf; what is `FINER` than that is no loss (0: all below float64 is). Raises what the forward raises.
    """
    args, kwargs = map_tensors(args, _widened), map_tensors(kwargs, _widened)
    (held if held is not None else []).append((args, kwargs))
    with generators_kept(seed), torch.no_grad(), FirstOperator(functools.partial(_narrows, eps / FINER)) as watch:
        output = twin(*args, **kwargs)
    return flatten(output), watch.words


def unreal_reason(problem: BaseException) -> str:
    """Why a float64 run raised, as the yardstick's reason."""
    return str(problem) if isinstance(problem, NoYardstick) else f"the float64 run failed: {first_line(problem)}"


def _widened(tensor: torch.Tensor) -> torch.Tensor:
    if tensor.is_floating_point():
        return tensor.detach().to(torch.float64, copy=True)
    return tensor.detach().to(torch.complex128, copy=True) if tensor.is_complex() else tensor.detach().clone()


def twins(
    twin: nn.Module, eager: Flat, args: Any, kwargs: Any, seed: int, held: list[Any] | None = None
) -> list[tuple[str, torch.Tensor, torch.Tensor]]:
    """(path, eager, float64) of the leaves that a float64 run says something about."""
    numbers = eager.numbers
    kinds = {path: eager.number_dtype if path in numbers else leaf.dtype for path, leaf in eager.leaves}
    if not any(kind in _NARROW for kind in kinds.values()):
        wide = any(kind in _WIDE for kind in kinds.values())
        raise NoYardstick(
            "the model answers in float64 itself" if wide else "no output leaf is floating: all are exact"
        )
    try:
        eps = min(_EPS[kind] for kind in kinds.values() if kind in _NARROW)
        flat, downcast = reference_outputs(twin, args, kwargs, seed, eps, held)
    except Exception as problem:
        raise NoYardstick(unreal_reason(problem)) from problem
    if downcast:
        raise NoYardstick(f"float64 run downcasts in {downcast}")
    exact = dict(flat.leaves)
    found = []
    for path, value in eager.leaves:
        if kinds[path] not in _NARROW:
            continue
        if path not in exact or _form(exact[path]) != _form(value):
            raise NoYardstick(f"the float64 run answers with another structure at {path}")
        if exact[path].dtype not in _WIDE:
            kind = str(exact[path].dtype).removeprefix("torch.")
            raise NoYardstick(f"the float64 run answers {path} in {kind}")
        if is_plain_tensor(value):
            found.append((path, value, exact[path]))
    return found


def _form(tensor: torch.Tensor) -> tuple[Any, ...]:
    return tensor.layout, tensor.is_nested, tensor.is_quantized, shape_of(tensor)


def _narrows(fine: float, func: Any, args: Any, kwargs: Any, output: Any) -> bool:
    """Whether an operator answers in less than it was given, and in less than what has an eps of `fine`."""
    given, made = _epsilons((args, kwargs)), _epsilons(output)
    return bool(given) and bool(made) and max(made) > max(min(given), fine) and not _makes_new(func)


def _epsilons(value: Any) -> set[float]:
    """Machine epsilon of every floating tensor in an operator's arguments or answer."""
    if isinstance(value, torch.Tensor):
        return {_EPS[value.dtype]} if value.dtype in _EPS else set()
    if isinstance(value, dict):
        value = value.values()
    elif not isinstance(value, (tuple, list)):
        return set()
    return {eps for item in value for eps in _epsilons(item)}


def _makes_new(func: Callable[..., Any]) -> bool:
    """Factories like zeros_like take only shape and device from their input: nothing of its values is lost."""
    name = str(getattr(func, "overloadpacket", func)).rpartition(".")[2]
    return name.endswith("_like") or name.startswith("new_")
