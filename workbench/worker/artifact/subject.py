"""What an artifact is made of: the model in the modes it is exported in, its example, and one call of both.

Owns the bridge between the bench's `Built` and the makers of each kind, and the record that each maker returns.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from keyword import iskeyword
from typing import Any

import torch

from workbench.protocol.artifacts import Constraint, Finding
from workbench.protocol.failures import WorkbenchError, error
from workbench.protocol.spec import InputSpec
from workbench.worker.artifact.plain import (
    free_names,
    is_plain,
    left_out,
    named_arguments,
    named_outputs,
    plain_or_raise,
)
from workbench.worker.bench.arguments import GIVEN
from workbench.worker.bench.failing import failed_in, first_line
from workbench.worker.bench.inputs import Argument, Example
from workbench.worker.judge.leaves import flatten_plain
from workbench.worker.judge.snapshot import untouched_model

EXPORT_BATCH = 2
"""Exporters specialise a size of 1, so examples have at least this many rows where the batch is free."""


@dataclass
class Subject:
    """A model ready to be exported; `model` is eager and is never changed."""

    model: torch.nn.Module
    example: Example
    seed: int
    args: tuple[Any, ...]
    """Example call, by place."""
    kwargs: dict[str, Any]
    batch: int
    """Rows of the example call; 0 when there is no batch dimension."""
    output: Any
    """Eager's answer to the example call."""
    plain: bool
    """The output needs no wrapping."""
    seconds: float = 0.0
    """Of the example call."""
    training: bool = False
    findings: list[Finding] = field(default_factory=list)

    @property
    def names(self) -> list[str]:
        """A name for each argument, in the order of the call; unnamed ones are called by their place."""
        return [argument_name(argument, place) for place, argument in enumerate(self.example.arguments)]

    @property
    def names_its_arguments(self) -> bool:
        """Whether a copy has a signature of its own, for forward takes what the call gives as `**kwargs`."""
        plain = all(one.isidentifier() and not iskeyword(one) and one != "self" for one in self.names)
        return plain and free_names(self.model, self.args, self.kwargs)

    @property
    def tensors(self) -> list[tuple[str, torch.Tensor]]:
        """Every tensor of the example call by name, in the order of the call."""
        values = (*self.args, *self.kwargs.values())
        return [leaf for name, value in zip(self.names, values) for leaf in flatten_plain(value, name).leaves]  # noqa: B905

    @property
    def specs(self) -> dict[str, tuple[InputSpec, bool]]:
        """Input tensor that is drawn → (its spec, whether somebody gave that spec)."""
        return {
            path if argument.name else f"{name}{path}": (spec, argument.origin == GIVEN)
            for argument, name in zip(self.example.arguments, self.names)  # noqa: B905 (one name each)
            for path, spec in argument.specs
        }

    @property
    def axes(self) -> dict[str, int]:
        """Input tensor → its axis that counts rows."""
        axes: dict[str, int] = {}
        specs = self.specs
        for path, leaf in self.tensors:
            if path in specs:
                axes.update([(path, axis) for axis in self.example.batch_axes(specs[path][0])[:1]])
            elif leaf.dim() and leaf.shape[0] == self.batch:
                axes[path] = 0
        return axes

    def copy(self) -> torch.nn.Module:
        """A deep copy that answers with plain tensors; makers may do with it what they like.

        Raises `WorkbenchError("export")` for a model that cannot be copied.
        """
        try:
            copied = copy.deepcopy(self.model)
        except Exception as problem:
            message = "The model cannot be copied for the export"
            raise failed_in(
                problem, "export", message, "", "Keep locks, files and graphs out of its attributes."
            ) from problem
        if not self.plain:
            named_outputs(copied, names=frozenset(plain_or_raise(self.output)))
        if self.names_its_arguments:
            named_arguments(copied, self.names, len(self.args))
        return copied


@dataclass
class Artifact:
    """What a maker made."""

    file: str
    """Name inside the staging directory."""
    dynamic: tuple[str, ...] = ()
    static: tuple[str, ...] = ()
    findings: tuple[Finding, ...] = ()
    call: Callable[..., Any] | None = None
    """The artifact, for the comparison of speed; None for weights."""
    batch_range: tuple[int, int | None] | None = None
    """Smallest and largest batch that it serves (None: no limit); None as a whole: whatever eager serves."""
    extra: dict[str, Any] = field(default_factory=dict)
    """What this kind adds to the manifest."""
    worklist: tuple[Constraint, ...] = ()
    """Dimensions that were to be free and are less so."""
    baked: tuple[tuple[str, str], ...] = ()
    """Place ("model.py:41") and line of each test of the user's that is no longer made."""


def argument_name(argument: Argument, place: int) -> str:
    """The argument's own name, or `arg0` for one without."""
    return argument.name or f"arg{place}"


def subject_of(model: torch.nn.Module, example: Example, seed: int, training: bool = False) -> Subject:
    """Run the example once and look at the answer; model and inputs are left as they were.

    Raises `WorkbenchError` ("forward", "export").
    """
    batch = example.batch
    wanted = _export_batch(example)
    try:
        args, kwargs = example.sample(seed, wanted or None)
        output, seconds = run_untouched(model, args, kwargs)
    except WorkbenchError:
        if not batch or wanted == batch:
            raise
        wanted = batch  # other sizes do not run: the batch is what it is
        args, kwargs = example.sample(seed)
        output, seconds = run_untouched(model, args, kwargs)
    plain = is_plain(output)
    subject = Subject(model, example, seed, args, kwargs, wanted, output, plain, seconds, training)
    if not plain and not plain_or_raise(output):
        message = f"The model answers with {type(output).__name__}, which holds no tensor: there is nothing to export."
        raise error("export", message, remedy="Return tensors, in tuples, lists, dicts or dataclasses.")
    if not plain:
        plain_or_raise(output)
        lost = left_out(output)
        rest = f" Left out: {', '.join(lost[:5])}{' …' if len(lost) > 5 else ''}." if lost else ""
        words = (
            f"{type(output).__name__} is given as a dict of plain tensors, so that no class has to be imported.{rest}"
        )
        subject.findings.append(Finding("wrapped_output", words))
    return subject


def run_untouched(model: torch.nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, float]:
    """(answer, seconds) of one forward, after which buffers that it writes to are the checkpoint's again.

    Raises as `run_eager` does.
    """
    with untouched_model(model, args, kwargs):
        started = time.perf_counter()
        output = run_eager(model, args, kwargs)
        return output, time.perf_counter() - started


def run_eager(model: torch.nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """One forward under no_grad. Raises `WorkbenchError("forward")` at the user's line."""
    try:
        with torch.no_grad():
            return model(*args, **kwargs)
    except Exception as problem:
        what = "The model does not run on its example inputs"
        raise failed_in(problem, "forward", what, "--input", "Fire it on the bench first: workbench run.") from problem


def eager_accepts(subject: Subject, batch: int) -> str:
    """Empty when eager answers `batch` rows; otherwise what it raised."""
    try:
        args, kwargs = subject.example.sample(subject.seed, batch)
        run_untouched(subject.model, args, kwargs)
    except WorkbenchError as problem:
        cause = problem.__cause__
        return first_line(cause) if cause is not None else problem.failure.message
    return ""


def _export_batch(example: Example) -> int:
    batch = example.batch
    if not batch:
        return 0
    limits = example.batch_range
    wanted = max(batch, EXPORT_BATCH)
    return min(wanted, limits[1]) if limits else wanted
