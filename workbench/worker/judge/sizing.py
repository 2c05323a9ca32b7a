"""Where the size of a batch comes in: the first operator that makes of the same rows others in a smaller batch.

Owns the dispatch mode that keeps what each operator answered. Two forwards: a batch, and its first rows alone. It
judges nothing; rounding is told from a difference by a share of the largest value.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from workbench.worker.bench.sampling import tensors_in
from workbench.worker.judge.checks_places import stack_place
from workbench.worker.judge.mixing import Stack
from workbench.worker.judge.mode import Mode
from workbench.worker.judge.operators import UNDEFINED
from workbench.worker.judge.pieces import is_plain_tensor

STEPS = 5_000
"""Operators that are followed; what comes in later is not found."""
KEPT = 256 << 20
"""Bytes of answers that are kept of one forward."""
ROUNDING = 1e-3
"""Share of the largest value up to which two answers are the same but for rounding: other sizes go through other
kernels, and what is looked for has been seen beyond the noise already."""


@dataclass(frozen=True)
class Kept:
    """One operator of a forward and what it answered."""

    name: str
    where: str
    module: str
    answers: tuple[torch.Tensor, ...]

    @property
    def words(self) -> str:
        place = f" at {self.where}" if self.where else ""
        return f"{self.name}{place}, in {self.module}"


class _Keeper(Mode):
    """Copies of what each operator answers."""

    def __init__(self, stack: Stack) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.steps: list[Kept] = []
        self._stack, self._left = stack, KEPT

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        output = func(*args, **(kwargs or {}))
        name = str(func.overloadpacket)
        made = [] if name.startswith(UNDEFINED) else [one for one in tensors_in(output) if _readable(one)]
        self._left -= sum(one.nbytes for one in made)
        if len(self.steps) < STEPS and self._left > 0:
            module = self._stack.names[-1] if self._stack.names else "the model itself"
            answers = tuple(one.detach().clone() for one in made)
            self.steps.append(Kept(name, stack_place(), module, answers))
        return output


def first_sized(
    model: nn.Module,
    begin: Callable[[], None],
    forward: Callable[[Any], object],
    inputs: tuple[Any, Any],
    sizes: tuple[int, int],
) -> Kept | None:
    """The operator in which the size first shows; None when it is not found.

    `begin` puts the model into the state that both forwards begin in; `forward` runs it on one of `inputs`: a batch
    of `sizes[0]` rows, and a batch of its first `sizes[1]` rows. What is cut to a length that comes out of the values
    of all rows answers with fewer rows and another length: it is blamed for what differs after it.
    """
    traces = []
    for given in inputs:
        begin()
        stack = Stack()
        keeper = _Keeper(stack)
        with stack.on(model), keeper:
            forward(given)
        traces.append(keeper.steps)
    lengths: Kept | None = None
    for one, other in zip(*traces):  # noqa: B905 (what follows after they part is not looked at)
        if one.name != other.name:
            return lengths
        pairs = list(zip(one.answers, other.answers))  # noqa: B905
        if not all(_alike(large, small) for large, small in pairs):
            return lengths or one
        if lengths is None and any(_other_length(large, small, sizes) for large, small in pairs):
            lengths = one
    return lengths


def _other_length(large: torch.Tensor, small: torch.Tensor, sizes: tuple[int, int]) -> bool:
    """Whether a dimension differs that does not count rows, a multiple of the batch."""
    if large.dim() != small.dim():
        return False
    pairs = zip(large.shape, small.shape)  # noqa: B905
    return any(a != b and a * sizes[1] != b * sizes[0] for a, b in pairs)


def _readable(tensor: torch.Tensor) -> bool:
    return is_plain_tensor(tensor)


def _alike(large: torch.Tensor, small: torch.Tensor) -> bool:
    """Whether the smaller answer is the beginning of the larger one, but for rounding; True where that is no question.

    A size, or what has more dimensions that grow, is no row of anything.
    """
    if large.dim() != small.dim() or not large.dim():
        return True
    grown = [axis for axis in range(large.dim()) if large.shape[axis] != small.shape[axis]]
    if len(grown) > 1 or not small.numel() or (grown and small.shape[grown[0]] > large.shape[grown[0]]):
        return True
    part = large.narrow(grown[0], 0, small.shape[grown[0]]) if grown else large
    if not small.is_floating_point():
        return bool(torch.equal(part, small)) or not grown
    a, b = part.double(), small.double()
    if bool((a.isnan() != b.isnan()).any()):
        return False
    scale = float(a.nan_to_num(0.0, 0.0, 0.0).abs().max())
    return float((a - b).nan_to_num(0.0, 0.0, 0.0).abs().max()) <= ROUNDING * scale
