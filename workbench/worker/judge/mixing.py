"""Where the rows of a batch meet: the first operator that makes of one and the same row another, in other company.

Owns the dispatch modes that follow a row. Three forwards: with another batch size, which shows where the rows lie in
each tensor; with the batch; and with one row of it among strangers. It judges nothing and keeps digests alone.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from workbench.worker.bench.sampling import tensors_in
from workbench.worker.judge.checks_places import named, stack_place, watching
from workbench.worker.judge.digest import digest
from workbench.worker.judge.leaves import Flat
from workbench.worker.judge.operators import UNDEFINED

STEPS = 20_000
"""Operators that are followed; rows that meet later are not found."""


@dataclass(frozen=True)
class Step:
    """One operator of a forward."""

    name: str
    """ "aten.mean"."""
    where: str
    """file.py:line of the user's code; empty where none of it is on the stack."""
    module: str
    """The innermost module that called it, as it is said."""
    rows: tuple[bytes, ...]
    """Digest of the row in each tensor of its answer; empty where the rows do not lie along one dimension."""
    wholes: tuple[bytes, ...]
    """Digest of each tensor of its answer that has no rows; empty for the others."""
    given: frozenset[bytes]
    """Digests of the tensors it was given that have no rows."""

    @property
    def words(self) -> str:
        place = f" at {self.where}" if self.where else ""
        return f"{self.name}{place}, in {self.module}"


@dataclass
class Stack:
    """The modules whose forward runs now."""

    names: list[str] = field(default_factory=list)

    @contextlib.contextmanager
    def on(self, model: nn.Module) -> Iterator[None]:
        def enter(path: str, module: nn.Module, inputs: Any) -> None:
            self.names.append(named(path, module))

        def leave(path: str, module: nn.Module, output: Any) -> None:
            self.names.pop()

        with watching(model, enter, leave):
            yield


class _Shapes(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """The shapes of what each operator was given and answered."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.steps: list[tuple[str, list[torch.Size], list[torch.Size]]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = [tensor.shape for tensor in tensors_in((args, kwargs or {}))]
        output = func(*args, **(kwargs or {}))
        if len(self.steps) < STEPS:
            made = [tensor.shape for tensor in (*tensors_in(output), *_written(func, args))]
            self.steps.append((str(func.overloadpacket), given, made))
        return output


class _Rows(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Digests of one row through every operator."""

    def __init__(self, shapes: _Shapes, sizes: tuple[int, int], row: int, stack: Stack) -> None:
        """`sizes`: of the batch, and of the batch that `shapes` was made with."""
        super().__init__()  # type: ignore[no-untyped-call]
        self.steps: list[Step] = []
        self._shapes, self._sizes, self._row, self._stack = shapes, sizes, row, stack

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        number = len(self.steps)
        if number >= len(self._shapes.steps) or self._shapes.steps[number][0] != str(func.overloadpacket):
            return func(*args, **(kwargs or {}))  # it takes another way with another batch
        name, shapes_given, shapes_made = self._shapes.steps[number]
        given = self._look(tensors_in((args, kwargs or {})), shapes_given)[1]
        output = func(*args, **(kwargs or {}))
        made = [] if name.startswith(UNDEFINED) else [*tensors_in(output), *_written(func, args)]
        rows, wholes = self._look(made, shapes_made)
        module = self._stack.names[-1] if self._stack.names else "the model itself"
        self.steps.append(Step(name, stack_place(), module, rows, wholes, frozenset(given) - {b""}))
        return output

    def _look(self, tensors: list[torch.Tensor], others: list[torch.Size]) -> tuple[tuple[bytes, ...], ...]:
        rows, wholes = [], []
        for tensor, other in zip(tensors, others):  # noqa: B905 (an operator may answer with more for more rows)
            part = self._part(tensor, other)
            whole = part is None and tensor.shape == other
            rows.append(b"" if part is None else _digest(part))
            wholes.append(_digest(tensor) if whole else b"")
        return tuple(rows), tuple(wholes)

    def _part(self, tensor: torch.Tensor, other: torch.Size) -> torch.Tensor | None:
        """The row's part of a tensor: along the one dimension that grew with the batch, which heads may be part of."""
        batch, other_batch = self._sizes
        if tensor.dim() != len(other) or tensor.layout is not torch.strided:
            return None
        grown = [axis for axis in range(tensor.dim()) if tensor.shape[axis] != other[axis]]
        if len(grown) != 1 or tensor.shape[grown[0]] * other_batch != other[grown[0]] * batch:
            return None
        each = tensor.shape[grown[0]] // batch
        return tensor.narrow(grown[0], self._row * each, each) if each * batch == tensor.shape[grown[0]] else None


def _written(func: Any, args: Any) -> list[torch.Tensor]:
    """What an operator that writes into a view of a tensor has changed besides: the tensor that it is a view of."""
    if not func._schema.is_mutable or not args or not isinstance(args[0], torch.Tensor) or args[0]._base is None:
        return []
    return [args[0]._base]


def _digest(tensor: torch.Tensor) -> bytes:
    return digest(Flat("", [("", tensor.detach())]))


def first_meeting(
    model: nn.Module,
    begin: Callable[[], None],
    forward: Callable[[Any], object],
    inputs: tuple[Any, Any, Any],
    sizes: tuple[int, int],
    row: int,
) -> Step | None:
    """The operator in which the rows first meet; None when it is not found.

    `begin` puts the model into the state that each forward begins in; `forward` runs it on one of `inputs`: the batch
    of `sizes[0]` rows, the same number of rows of which only `row` is the same, and a batch of `sizes[1]` rows.
    """
    own, mixed, resized = inputs
    shapes = _Shapes()
    begin()
    with shapes:
        forward(resized)
    traces = []
    for given in (own, mixed):
        begin()
        stack = Stack()
        rows = _Rows(shapes, sizes, row, stack)
        with stack.on(model), rows:
            forward(given)
        traces.append(rows.steps)
    origins: dict[bytes, Step] = {}
    for one, other in zip(*traces):  # noqa: B905 (what follows after they part is not looked at)
        if one.name != other.name:
            return None
        blamed = next((origins[value] for value in other.given if value in origins), other)
        if one.rows != other.rows:
            return blamed
        for value, another in zip(one.wholes, other.wholes):  # noqa: B905 (of one operator)
            if value != another:
                origins[another] = blamed
    return None
