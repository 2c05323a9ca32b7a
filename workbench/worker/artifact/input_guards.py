"""Guards that an artifact carries in its own graph: dtype, declared sizes, and the declared range of values.

What nobody declared is not guarded. torch.export has guards of its own for sizes, which do not tell 0 and 1 from 2 and
which AOTInductor drops; ranks are guarded by neither.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from workbench.worker.artifact.plain import exchange
from workbench.worker.artifact.subject import Subject


@dataclass(frozen=True)
class Declared:
    """What an input spec promises about one tensor argument."""

    name: str
    """As forward calls it, or `arg0` for one that was given by place."""
    place: int
    """Of the argument in the call."""
    dtype: torch.dtype
    low: float | None
    """Smallest value, inclusive; None: no range was declared."""
    high: float | None
    sizes: tuple[tuple[int, str, int, int], ...] = ()
    """(axis, name, smallest, largest) of each dynamic dimension."""


def declared(subject: Subject) -> list[Declared]:
    """What the specs of the example's arguments say; arguments without a spec promise nothing."""
    found = []
    values = (*subject.args, *subject.kwargs.values())
    for place, (argument, name, value) in enumerate(zip(subject.example.arguments, subject.names, values)):  # noqa: B905
        if argument.spec is None or not isinstance(value, torch.Tensor):
            continue
        spec = argument.spec
        sizes = tuple((dim.axis, dim.name, dim.minimum, dim.maximum) for dim in spec.dynamic)
        found.append(Declared(name, place, value.dtype, spec.low, spec.high, sizes))
    return found


def guarded_inputs(model: torch.nn.Module, promises: list[Declared]) -> None:
    """From now on `model` asserts `promises` about its inputs, with operators that stay in an exported graph.

    A range costs one pass over the input, a size one over a vector of its length. NaN is in no range.
    """
    if not promises:
        return
    original = type(model)
    bind = inspect.signature(original.forward).bind

    @functools.wraps(original.forward)
    def forward(self: torch.nn.Module, *args: Any, **kwargs: Any) -> Any:
        given = dict(bind(self, *args, **kwargs).arguments)
        for promise in promises:
            value = args[promise.place] if promise.place < len(args) else given.get(promise.name)
            if value is None:
                value = kwargs.get(promise.name)
            if isinstance(value, torch.Tensor):
                _assert(value, promise)
        return original.forward(self, *args, **kwargs)

    exchange(model, forward)


def _assert(value: torch.Tensor, promise: Declared) -> None:
    guard: Callable[[torch.Tensor, str], None] = torch._assert_async
    torch.ops.aten._assert_tensor_metadata.default(value, None, None, promise.dtype)
    for axis, name, low, high in promise.sizes:
        # counted by the graph itself: a comparison of the size would be folded away, for its range is known
        size = torch.ones(value.shape[axis]).sum()
        guard((size >= low) & (size <= high), f"{name} ({promise.name}[{axis}]) must be {low} to {high}")
    if promise.low is None or promise.high is None:
        return
    inside = ((value >= promise.low) & (value <= promise.high)).all()
    words = f"{promise.name} must lie in [{promise.low:.12g}, {promise.high:.12g}]"
    guard(inside, words)
