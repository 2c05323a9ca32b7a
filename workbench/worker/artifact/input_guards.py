"""Guards that an artifact carries in its own graph: rank, dtype, declared sizes, and the declared range of values.

What nobody declared is not guarded. torch.export has guards of its own for sizes, which look at them by their place,
do not tell 0 and 1 from 2, and which AOTInductor drops.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from workbench.worker.artifact.plain import exchange
from workbench.worker.artifact.subject import Subject
from workbench.worker.judge.leaves import flatten_plain


@dataclass(frozen=True)
class Declared:
    """What an input spec promises about one tensor."""

    path: str
    """As in `Subject.tensors`: an argument's name, or a place inside one (`xs[0]`)."""
    rank: int
    dtype: torch.dtype
    low: float | None
    """Smallest value, inclusive; None: no range was declared."""
    high: float | None
    sizes: tuple[tuple[int, str, int, int], ...] = ()
    """(axis, name, smallest, largest) of each dynamic dimension."""


def declared(subject: Subject) -> list[Declared]:
    """What somebody said about the example's tensors; a spec that was inferred promises nothing."""
    found, specs = [], subject.specs
    for path, value in subject.tensors:
        spec, given = specs.get(path, (None, False))
        if spec is not None and given:
            sizes = tuple((dim.axis, dim.name, dim.minimum, dim.maximum) for dim in spec.dynamic)
            found.append(Declared(path, value.dim(), value.dtype, spec.low, spec.high, sizes))
    return found


def guarded_inputs(model: torch.nn.Module, promises: list[Declared], names: list[str]) -> None:
    """From now on `model` asserts `promises` about its inputs, with operators that stay in an exported graph.

    names: of the arguments, in the order of the call. A range costs one pass over the input, a size one over a vector
    of its length. NaN is in no range.
    """
    if not promises:
        return
    original = type(model)

    @functools.wraps(original.forward)
    def forward(self: torch.nn.Module, *args: Any, **kwargs: Any) -> Any:
        given = [*zip(names, args), *kwargs.items()]  # noqa: B905 (those by name come after)
        tensors = dict(leaf for name, value in given for leaf in flatten_plain(value, name).leaves)
        for promise in promises:
            if promise.path in tensors:
                _assert(tensors[promise.path], promise)
        return original.forward(self, *args, **kwargs)

    exchange(model, forward)


def _assert(value: torch.Tensor, promise: Declared) -> None:
    guard: Callable[[torch.Tensor, str], None] = torch._assert_async
    torch.permute(value, tuple(range(promise.rank)))  # refuses every other rank, and is kept in the graph for that
    torch.ops.aten._assert_tensor_metadata.default(value, None, None, promise.dtype)
    for axis, name, low, high in promise.sizes:
        # counted by the graph itself: a comparison of the size would be folded away, for its range is known
        size = torch.ones(value.shape[axis]).sum()
        guard((size >= low) & (size <= high), f"{name} ({promise.path}[{axis}]) must be {low} to {high}")
    if promise.low is None or promise.high is None:
        return
    inside = ((value >= promise.low) & (value <= promise.high)).all()
    words = f"{promise.path} must lie in [{promise.low:.12g}, {promise.high:.12g}]"
    guard(inside, words)
