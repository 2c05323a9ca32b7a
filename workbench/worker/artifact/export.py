"""Makes a torch.export program with a dynamic batch, and says which dimensions stayed dynamic.

Exports a deep copy under no_grad. A size that the model's code fixes is never hidden: the constraint that fails is
kept in words, and the export is tried again with less freedom.
"""

from __future__ import annotations

import inspect
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch.export import Dim

from workbench.protocol.artifacts import Finding
from workbench.worker.artifact.export_errors import (
    depends_on_data,
    unexportable,
    violates_constraints,
    watched_guards,
    why_not_free,
)
from workbench.worker.artifact.input_guards import declared, guarded_inputs
from workbench.worker.artifact.subject import Artifact, Subject, eager_accepts
from workbench.worker.artifact.trace import save_or_raise
from workbench.worker.job import Job
from workbench.worker.judge.leaves import flatten

FILE = "model.pt2"

Axes = dict[int, str]
"""Axis of one tensor → name of its dynamic dimension."""


@dataclass
class Exported:
    """A program of torch.export, and what became of the sizes that were to be free."""

    program: Any
    dynamic: tuple[str, ...]
    static: tuple[str, ...]
    findings: tuple[Finding, ...]
    batch_range: tuple[int, int | None] | None


def make(subject: Subject, stage: Path, job: Job) -> Artifact:
    """Export and save `stage/model.pt2`. Raises `WorkbenchError` ("export", "write")."""
    made = exported(subject, job, guarded=True)
    job.progress("saving the program")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about itself: nothing of the model's
        save_or_raise(lambda path: torch.export.save(made.program, path), stage / FILE)
    return Artifact(FILE, made.dynamic, made.static, made.findings, made.program.module(), made.batch_range)


def exported(subject: Subject, job: Job, guarded: bool) -> Exported:
    """The program with as much freedom as the model allows; `guarded`: it refuses what the input spec forbids.

    Raises `WorkbenchError("export")`.
    """
    job.progress("exporting")
    axes, limits, static = _wanted(subject)
    program, failed = _export_freest(subject, axes, limits, job, guarded)
    dynamic, fixed, batch_range = _read_ranges(subject, program, axes)
    reason = f": {failed}" if failed else ""
    static += [f"{one}{reason}" for one in fixed]
    findings = [Finding("specialised", f"{one}{reason}", _REMEDY) for one in fixed] if failed else []
    return Exported(program, tuple(dynamic), tuple(static), tuple(findings), batch_range)


_ENDLESS = 2**62
"""torch writes an open end as a huge number in some versions."""

_REMEDY = "The artifact serves exactly this size. Mend the line, or export one artifact for each size."


def _wanted(subject: Subject) -> tuple[dict[str, Axes], dict[str, tuple[int, int | None]], list[str]]:
    """(dynamic axes by tensor path, range of each name, what is static from the start and why).

    Declared dimensions as declared; otherwise the first dimension of every tensor that has as many rows as the batch,
    if eager really answers another number of rows.
    """
    axes: dict[str, Axes] = {}
    limits: dict[str, tuple[int, int | None]] = {}
    for argument, name in zip(subject.example.arguments, subject.names):  # noqa: B905 (one name each)
        for path, spec in argument.specs:
            for dim in spec.dynamic:
                if dim.maximum > dim.minimum:
                    axes.setdefault(path or name, {})[dim.axis] = dim.name
                    limits[dim.name] = (dim.minimum, dim.maximum)
    if limits or not subject.batch:
        return axes, limits, []
    refused = eager_accepts(subject, subject.batch + 1)
    if refused:
        return {}, {}, [f"batch = {subject.batch}: eager itself refuses {subject.batch + 1} rows ({refused})"]
    for path, tensor in _tensors(subject):
        if tensor.dim() and tensor.shape[0] == subject.batch:
            axes[path] = {0: "batch"}
    return axes, {"batch": (1, None)}, []


def _export_freest(
    subject: Subject, axes: dict[str, Axes], limits: dict[str, Any], job: Job, guarded: bool
) -> tuple[Any, str]:
    """(program, why it has less freedom than wanted): named dimensions first, then torch's own choice, then none."""
    failed = ""
    steps: list[Any] = []
    if limits:
        steps.append(lambda: {name: _dim(name, *limit) for name, limit in limits.items()})
        if any(low < 2 for low, _ in limits.values()):
            steps.append(lambda: {name: _dim(name, max(2, low), high) for name, (low, high) in limits.items()})
        steps.append(lambda: dict.fromkeys(limits, Dim.AUTO))
    steps.append(dict)
    place = 0
    while True:
        job.progress("exporting" if place == 0 else "exporting with less freedom", place, len(steps))
        try:
            with watched_guards() as guards:
                return _export(subject, axes, steps[place](), guarded), failed
        except Exception as problem:
            last = len(steps) - 1
            if place == last or depends_on_data(problem):
                raise unexportable(problem) from problem
            failed = failed or why_not_free(problem, guards)
            place = place + 1 if violates_constraints(problem) else last


def _dim(name: str, low: int, high: int | None) -> Any:
    return Dim(name, min=low) if high is None else Dim(name, min=low, max=high)


def _export(subject: Subject, axes: dict[str, Axes], dims: dict[str, Any], guarded: bool) -> Any:
    copied = subject.copy()
    if guarded:
        guarded_inputs(copied, declared(subject))
    shapes: Any = None
    if dims and axes:

        def shaped(path: str, value: Any) -> Any:
            if isinstance(value, torch.Tensor):
                return {axis: dims[name] for axis, name in axes.get(path, {}).items()} or None
            if isinstance(value, dict):
                return {key: shaped(f"{path}[{key!r}]", part) for key, part in value.items()}
            if isinstance(value, (list, tuple)):
                return type(value)(shaped(f"{path}[{place}]", part) for place, part in enumerate(value))
            return None

        values = (*subject.args, *subject.kwargs.values())
        by_name = {name: shaped(name, value) for name, value in zip(subject.names, values)}  # noqa: B905
        shapes = by_name if all(one.name for one in subject.example.arguments) else None
        if shapes is None or _takes_many(copied):
            shapes = _by_place(subject, by_name)
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.export.export(copied, subject.args, subject.kwargs or None, dynamic_shapes=shapes)


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


def _read_ranges(
    subject: Subject, program: Any, axes: dict[str, Axes]
) -> tuple[list[str], list[str], tuple[int, int | None] | None]:
    """(what stayed dynamic, what was wanted dynamic and is not, range of the batch) from the program itself."""
    inputs = [node for node in program.graph.nodes if node.op == "placeholder"]
    by_node = {node.name: node.meta.get("val") for node in inputs}
    values = [by_node.get(name) for name in program.graph_signature.user_inputs]
    dynamic: list[str] = []
    fixed: list[str] = []
    batch: tuple[int, int | None] | None = (subject.batch, subject.batch) if subject.batch else None
    batch_name = subject.example.batch_name or "batch"
    for (path, tensor), value in zip(_tensors(subject), values):  # noqa: B905 (one placeholder each)
        for axis in range(tensor.dim()):
            name = axes.get(path, {}).get(axis, "")
            size = value.shape[axis] if isinstance(value, torch.Tensor) else tensor.shape[axis]
            if not _is_free(program, size):
                if name:
                    fixed.append(f"{path}[{axis}] = {tensor.shape[axis]}")
                continue
            low, high = _bounds(program, size)
            dynamic.append(f"{path}[{axis}] = {name or size} in [{low}, {'∞' if high is None else high}]")
            if name == batch_name:
                batch = (low, high)
    return dynamic, fixed, batch


def _is_free(program: Any, size: Any) -> bool:
    """Whether a size of a placeholder is still symbolic: torch drops the range of one that became a constant."""
    if isinstance(size, int):
        return False
    return any(symbol in program.range_constraints for symbol in size.node.expr.free_symbols)


def _bounds(program: Any, size: Any) -> tuple[int, int | None]:
    """Smallest and largest value (None: no limit) of a symbolic size, from the program's range constraints."""
    known = program.range_constraints.get(size.node.expr)
    if known is None:  # a derived size, such as 2*s: its symbol's own range is shown beside it
        return 0, None
    low, high = str(known.lower), str(known.upper)
    return int(low) if low.isdigit() else 0, int(high) if high.isdigit() and int(high) < _ENDLESS else None


def _tensors(subject: Subject) -> list[tuple[str, torch.Tensor]]:
    """Every input tensor with its path: `x`, `batch['ids']`."""
    values = (*subject.args, *subject.kwargs.values())
    return [leaf for name, value in zip(subject.names, values) for leaf in flatten(value, name).leaves]  # noqa: B905
