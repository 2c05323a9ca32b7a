"""Where NaN and infinity begin: the first operator of a module that makes them of finite values, and its line.

Owns the dispatch mode that looks at what each operator was given and answers. It judges nothing and changes no value.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from workbench.worker.bench.sampling import tensors_in
from workbench.worker.judge.checks_places import stack_place, watching
from workbench.worker.judge.operators import UNDEFINED
from workbench.worker.judge.pieces import is_plain_tensor, pieces


def all_finite(leaf: torch.Tensor) -> bool:
    """Whether no element is NaN or infinite, of what is stored; True for what cannot be, or has no values."""
    return all(map(_finite, stored(leaf)))


def stored(leaf: torch.Tensor) -> list[torch.Tensor]:
    """The floating numbers that a tensor holds: itself, the values of a sparse one, the components of a nested one;
    nothing of integers, of quantised ones, which have no NaN, and of the meta device."""
    if not (leaf.is_floating_point() or leaf.is_complex()):
        return []
    if is_plain_tensor(leaf):
        return [leaf]
    return [part for _, part in pieces(leaf) if part.is_floating_point() or part.is_complex()]


def not_finite_counts(leaf: torch.Tensor) -> tuple[int, int, int]:
    """(NaN, infinite, all) of the numbers that it stores."""
    parts = [part.to(torch.float32) if part.element_size() == 1 else part for part in stored(leaf)]
    nan = sum(int(part.isnan().sum()) for part in parts)
    return nan, sum(int((~part.isfinite()).sum()) for part in parts) - nan, sum(part.numel() for part in parts)


def _finite(part: torch.Tensor) -> bool:
    return bool(part.to(torch.float32).isfinite().all() if part.element_size() == 1 else part.isfinite().all())


def first_breaking(model: nn.Module, forward: Callable[[], object], inside: str) -> str:
    """ "aten.log at model.py:41": the first operator in a call of the module at `inside` that breaks; empty: none does.

    It breaks when all that it was given is finite and its answer is not. A number that is not finite was written down,
    as a mask's minus infinity is; when nothing else breaks, the first operator that makes NaN of none is meant.
    """
    depth = 0

    def enter(path: str, module: nn.Module, inputs: Any) -> None:
        nonlocal depth
        depth += path == inside

    def leave(path: str, module: nn.Module, output: Any) -> None:
        nonlocal depth
        depth -= path == inside

    watch = _Breaking(lambda: depth > 0)
    with watching(model, enter, leave), watch:
        forward()
    return watch.words or watch.nan


class _Breaking(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Notes the first operators that break."""

    def __init__(self, active: Callable[[], bool]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.words = self.nan = ""
        self._active = active

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if self.words or not self._active() or str(func.overloadpacket).startswith(UNDEFINED):
            return func(*args, **kwargs)
        given = tensors_in((args, kwargs))  # looked at before an operator may write into them
        numbers = [value for value in (*args, *kwargs.values()) if isinstance(value, float)]
        finite = all(map(all_finite, given)) and all(map(math.isfinite, numbers))
        without = not any(map(_has_nan, given))
        output = func(*args, **kwargs)
        made = tensors_in(output)
        if finite and not all(map(all_finite, made)):
            self.words = _words(func)
        elif not self.nan and without and any(map(_has_nan, made)):
            self.nan = _words(func)
        return output


def _has_nan(tensor: torch.Tensor) -> bool:
    return not all_finite(tensor) and not_finite_counts(tensor)[0] > 0


def _words(func: Any) -> str:
    place = stack_place()
    return f"{func.overloadpacket}{f' at {place}' if place else ''}"
