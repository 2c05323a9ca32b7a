"""Which sizes of an export are to be free, how much freedom is tried next, and what the program has in the end."""

from __future__ import annotations

import inspect
from dataclasses import dataclass, field, replace
from typing import Any

import torch

from workbench.protocol.artifacts import Constraint
from workbench.worker.artifact.constraints import (
    ENDLESS,
    Axes,
    Found,
    Range,
    dim_of,
    guard_of,
    is_hint,
    range_words,
    restricted,
    row,
)
from workbench.worker.artifact.export_errors import Guards, violates_constraints, why_not_free
from workbench.worker.artifact.subject import Subject, eager_accepts

_ROUNDS = 12
"""Attempts with named dimensions, after which all is static: each normally settles one line of the code."""


@dataclass
class Sizes:
    """What became of the sizes that were to be free."""

    dynamic: tuple[str, ...]
    """ "x[0] = batch in [1, 64]"."""
    static: tuple[str, ...]
    """ "x[1] = 4: model.py:7: n = int(x.shape[1])"."""
    batch_range: Range | None
    worklist: tuple[Constraint, ...]


@dataclass
class Freedom:
    """The dimensions that are to be free, by name, and how free each still may be."""

    subject: Subject
    axes: dict[str, Axes]
    """Tensor path → its dynamic axes."""
    limits: dict[str, Range]
    """Sizes that each dimension is to have."""
    static: list[str] = field(default_factory=list)
    """What is fixed from the start, and why."""
    dims: dict[str, Any] = field(default_factory=dict)
    """What to export with now: a `Dim`, an expression of one, a hint, or None for a constant."""
    failed: str = ""
    """Why nothing may be free at all, in torch's words."""
    _found: dict[str, Found] = field(default_factory=dict)
    _rounds: int = 0

    @property
    def left(self) -> bool:
        """Whether any dimension is still free."""
        return any(dim is not None for dim in self.dims.values())

    def narrow(self, problem: BaseException, seen: Guards) -> None:
        """Take away what a failed attempt shows to be too much; `seen`: its guards."""
        self._rounds += 1
        news = restricted(problem, self.dims, self.limits, self.axes, seen) if violates_constraints(problem) else []
        if not news or self._rounds > _ROUNDS:
            self.failed = why_not_free(problem)
            self.dims = dict.fromkeys(self.dims)
        for one in news:
            self.dims[one.name] = one.free
            self._note(one)

    def shapes(self) -> Any:
        """`dynamic_shapes` for torch.export; None when nothing is free."""
        free = {name: dim for name, dim in self.dims.items() if dim is not None}
        if not free:
            return None

        def shaped(path: str, value: Any) -> Any:
            if isinstance(value, torch.Tensor):
                return {axis: free[name] for axis, name in self.axes.get(path, {}).items() if name in free} or None
            if isinstance(value, dict):
                return {key: shaped(f"{path}[{key!r}]", part) for key, part in value.items()}
            if isinstance(value, (list, tuple)):
                return type(value)(shaped(f"{path}[{place}]", part) for place, part in enumerate(value))
            return None

        subject = self.subject
        values = (*subject.args, *subject.kwargs.values())
        by_name = {name: shaped(name, value) for name, value in zip(subject.names, values)}  # noqa: B905 (one each)
        if subject.names_its_arguments:
            return by_name
        named = all(one.name for one in subject.example.arguments)
        return by_name if named and not _takes_many(subject.model) else _by_place(subject, by_name)

    def ended(self, program: Any, seen: Guards) -> Sizes:
        """What the program has of all that; `seen`: the guards of the attempt that made it."""
        dynamic: list[str] = []
        fixed: list[tuple[str, str]] = []
        batch: Range | None = (self.subject.batch, self.subject.batch) if self.subject.batch else None
        batch_name = self.subject.example.batch_name or "batch"
        for path, axis, example, size in _placeholder_sizes(self.subject, program):
            name = self.axes.get(path, {}).get(axis, "")
            if not _is_free(program, size):
                if name:
                    fixed.append((name, f"{path}[{axis}] = {example}"))
                    self._end(name, str(example), seen)
                continue
            low, high = _bounds(program, size)
            low = max(low, self.limits[name][0]) if name in self.limits else low  # torch forgets it for multiples
            dynamic.append(f"{path}[{axis}] = {name or size} in [{low}, {'∞' if high is None else high}]")
            if name and is_hint(self.dims[name]) and (low, high) != self.limits[name]:
                self._end(name, range_words(low, high), seen)
            batch = (low, high) if name == batch_name else batch
        static = self.static + [": ".join(filter(None, (words, self._reason(name)))) for name, words in fixed]
        rows = tuple(self._row(one) for one in self._found.values() if one.became)
        return Sizes(tuple(dynamic), tuple(dict.fromkeys(static)), batch, rows)

    def _note(self, one: Found) -> None:
        """Keep the newest word about a dimension, and the line behind it even when the newest word has none."""
        before = self._found.get(one.name)
        self._found[one.name] = replace(one, guard=before.guard) if before and one.guard is None else one

    def _end(self, name: str, became: str, seen: Guards) -> None:
        """What the program itself shows, where no attempt had said it."""
        before = self._found.get(name)
        if before is None or before.became != became:
            self._note(Found(name, became, None, guard_of(name, became, self.axes, seen)))

    def _reason(self, name: str) -> str:
        one = self._found.get(name)
        return one.guard.words if one is not None and one.guard is not None else self.failed

    def _row(self, one: Found) -> Constraint:
        places = [
            f"{path}[{axis}]" for path, axes in self.axes.items() for axis, name in axes.items() if name == one.name
        ]
        values = {name: None for axes in self.axes.values() for name in axes.values()}
        sizes = {name: _example_size(self.subject, self.axes, name) for name in values}
        spec = next(
            (spec for spec in self.subject.example.specs if any(dim.name == one.name for dim in spec.dynamic)), None
        )
        words = ", ".join(f"{name} = {size}" for name, size in sizes.items())
        return row(one, tuple(places), self.limits[one.name], words, spec, self.failed)


def freedom_of(subject: Subject) -> Freedom:
    """Declared dimensions as declared; otherwise the first dimension of every tensor that has as many rows as the
    batch, if eager really answers another number of rows."""
    axes: dict[str, Axes] = {}
    limits: dict[str, Range] = {}
    for argument, name in zip(subject.example.arguments, subject.names):  # noqa: B905 (one name each)
        for path, spec in argument.specs:
            for dim in spec.dynamic:
                if dim.maximum > dim.minimum:
                    axes.setdefault(path or name, {})[dim.axis] = dim.name
                    limits[dim.name] = (dim.minimum, dim.maximum)
    if limits or not subject.batch:
        return _free(subject, axes, limits)
    refused = eager_accepts(subject, subject.batch + 1)
    if refused:
        why = f"batch = {subject.batch}: eager itself refuses {subject.batch + 1} rows ({refused})"
        return Freedom(subject, {}, {}, [why])
    for path, tensor in subject.tensors:
        if tensor.dim() and tensor.shape[0] == subject.batch:
            axes[path] = {0: "batch"}
    return _free(subject, axes, {"batch": (1, None)})


def _free(subject: Subject, axes: dict[str, Axes], limits: dict[str, Range]) -> Freedom:
    dims = {name: dim_of(name, *limit) for name, limit in limits.items()}
    return Freedom(subject, axes, limits, dims=dims)


def _example_size(subject: Subject, axes: dict[str, Axes], name: str) -> int:
    """Size of a dimension in the example call."""
    places = ((path, axis) for path, own in axes.items() for axis, one in own.items() if one == name)
    path, axis = next(places)
    return next(tensor.shape[axis] for one, tensor in subject.tensors if one == path)


def _takes_many(model: torch.nn.Module) -> bool:
    """Whether forward takes *args or **kwargs, whose dynamic shapes cannot be given by name."""
    code = getattr(inspect.unwrap(model.forward), "__code__", None)
    return code is not None and bool(code.co_flags & 0x0C)  # CO_VARARGS and CO_VARKEYWORDS


def _by_place(subject: Subject, by_name: dict[str, Any]) -> Any:
    """`by_name` grouped as forward's own `*args` and `**kwargs` group it."""
    bound = inspect.signature(subject.model.forward).bind(*subject.args, **subject.kwargs)
    shapes = list(by_name.values())
    places = inspect.signature(subject.model.forward).bind(
        *shapes[: len(subject.args)],
        **dict(zip(subject.kwargs, shapes[len(subject.args) :])),  # noqa: B905 (one shape each)
    )
    return {name: places.arguments[name] for name in bound.arguments}


def _placeholder_sizes(subject: Subject, program: Any) -> list[tuple[str, int, int, Any]]:
    """(tensor path, axis, size in the example, size in the program) of every axis of every input."""
    by_node = {node.name: node.meta.get("val") for node in program.graph.nodes if node.op == "placeholder"}
    values = [by_node.get(name) for name in program.graph_signature.user_inputs]
    found = []
    for (path, tensor), value in zip(subject.tensors, values):  # noqa: B905 (one placeholder each)
        for axis, example in enumerate(tensor.shape):
            found.append((path, axis, example, value.shape[axis] if isinstance(value, torch.Tensor) else example))
    return found


def _is_free(program: Any, size: Any) -> bool:
    """Whether a size of a placeholder is still symbolic: torch drops the range of one that became a constant."""
    if isinstance(size, int):
        return False
    return any(symbol in program.range_constraints for symbol in size.node.expr.free_symbols)


def _bounds(program: Any, size: Any) -> Range:
    """Smallest and largest value (None: no limit) of a symbolic size, from the program's range constraints."""
    known = program.range_constraints.get(size.node.expr)
    if known is None:  # a derived size, such as 2*s: its symbol's own range is shown beside it
        return 0, None
    low, high = str(known.lower), str(known.upper)
    return int(low) if low.isdigit() else 0, int(high) if high.isdigit() and int(high) < ENDLESS else None
