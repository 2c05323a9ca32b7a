"""Owns an output as a check keeps it: taken apart and copied, thinned where it is vast.

It never runs the model and judges nothing.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from workbench.worker.bench.words import some
from workbench.worker.judge.leaves import Flat, flatten
from workbench.worker.judge.pieces import is_plain_tensor

VAST = 1 << 24
"""Elements of a leaf beyond which only some of them, evenly spread, are looked at."""


@dataclass(frozen=True)
class Answer(Flat):
    """An output taken apart, and what is left of its vast leaves."""

    thinned: str = ""
    """A sentence that says which leaves are not whole; empty when all are."""
    whole: dict[str, tuple[int, ...]] = field(default_factory=dict)
    """Shapes that the leaves had which are not whole, by path."""
    steps: dict[str, tuple[int, ...]] = field(default_factory=dict)
    """Of these, by dimension: every so many elements were kept."""

    def shape_of(self, path: str, leaf: torch.Tensor) -> tuple[int, ...]:
        """The shape that the model answered with."""
        return self.whole.get(path) or tuple(leaf.shape)

    def steps_of(self, path: str, leaf: torch.Tensor) -> tuple[int, ...]:
        return self.steps.get(path) or (1,) * leaf.dim()

    def dense(self) -> Answer:
        """This answer with sparse leaves as dense ones, but for those that would be vast."""

        def one(leaf: torch.Tensor) -> torch.Tensor:
            return leaf.to_dense() if str(leaf.layout).startswith("torch.sparse") and leaf.numel() <= VAST else leaf

        return dataclasses.replace(self, leaves=[(path, one(leaf)) for path, leaf in self.leaves])

    def thinned_to(self, steps: dict[str, tuple[int, ...]]) -> Answer:
        """This answer with these steps in its leaves, each a multiple of its own; the others stay as they are."""

        def further(path: str, leaf: torch.Tensor) -> torch.Tensor:
            wanted = steps.get(path, ())
            own = self.steps_of(path, leaf) if wanted else ()
            return _every(leaf, [more // held for more, held in zip(wanted, own)])  # noqa: B905 (of one leaf)

        return dataclasses.replace(self, leaves=[(path, further(path, leaf)) for path, leaf in self.leaves])


def taken_apart(output: Any) -> Answer:
    """The tree of an output with copies of its tensors; of a vast one every so many elements are kept.

    Copies, because a model may answer with memory of its own, which its next call writes over.
    """
    flat = flatten(output)
    steps = {path: _steps(leaf) for path, leaf in flat.leaves if is_plain_tensor(leaf) and leaf.numel() > VAST}
    leaves = [(path, _every(leaf.detach(), steps.get(path, ())).clone()) for path, leaf in flat.leaves]
    whole = {path: tuple(leaf.shape) for path, leaf in flat.leaves if path in steps}
    parts = [f"{path}, {part.numel()} of {math.prod(whole[path])}" for path, part in leaves if path in steps]
    words = f" Evenly spread elements stand for vast outputs ({some(parts)})." if parts else ""
    return Answer(flat.structure, leaves, flat.opaque, words, whole, steps)


def _steps(leaf: torch.Tensor) -> tuple[int, ...]:
    """By dimension, a power of 2: every so many elements are kept of a vast leaf."""
    steps = [1] * leaf.dim()
    while math.prod(-(-size // step) for size, step in zip(leaf.shape, steps)) > VAST:  # noqa: B905 (of one leaf)
        axis = max(range(leaf.dim()), key=lambda one: leaf.shape[one] / steps[one])
        steps[axis] *= 2
    return tuple(steps)


def _every(leaf: torch.Tensor, steps: Sequence[int]) -> torch.Tensor:
    return leaf[tuple(slice(None, None, step) for step in steps)] if steps else leaf


def on_one_grid(one: Answer, other: Answer) -> tuple[Answer, Answer]:
    """Both, with the same places kept of what is vast in either: a larger batch is thinned more than a smaller one."""
    steps = {path: one.steps_of(path, leaf) for path, leaf in one.leaves if path in {**one.steps, **other.steps}}
    for path, leaf in other.leaves:
        if path in steps:
            mine = other.steps_of(path, leaf)
            steps[path] = tuple(map(max, steps[path], mine)) if len(mine) == len(steps[path]) else ()
    return one.thinned_to(steps), other.thinned_to(steps)


def not_looked_at(flat: Flat) -> str:
    """A sentence that names the parts that hold no values which could be read; empty where there are none."""
    parts = [f"{path} ({reason})" for path, reason in flat.opaque]
    parts += [f"{path} (on the meta device)" for path, leaf in flat.leaves if leaf.is_meta]
    return f" Not looked at: {some(parts, 4)}." if parts else ""
