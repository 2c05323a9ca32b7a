"""A constructed model and its values, of a weights file or of a live model: without a second copy where that pays."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from workbench.protocol.failures import WorkbenchError
from workbench.worker.bench import fitting, weights
from workbench.worker.bench.modes import generators_kept
from workbench.worker.bench.on_meta import in_no_file, left_on_meta, parameters_on_meta
from workbench.worker.bench.words import some


@dataclass
class Filled:
    model: nn.Module
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Strict:
    """Fill with a weights file: every name, every shape."""

    checkpoint: weights.Checkpoint
    repair: str

    def __call__(self, model: nn.Module, assign: bool) -> list[str]:
        fresh = dataclasses.replace(self.checkpoint, tensors=_copy(self.checkpoint.tensors))
        return fitting.put(model, fresh, assign, self.repair)


@dataclass(frozen=True)
class Values:
    """Fill with a live model's values, where names and shapes agree."""

    state: dict[str, torch.Tensor]

    def __call__(self, model: nn.Module, assign: bool) -> list[str]:
        return fitting.take_over(model, self.state)


def _copy(tensors: dict[str, Any]) -> dict[str, Any]:
    """The same tensors in a dict of its own, with the versions that `state_dict` keeps beside them."""
    copied = type(tensors)(tensors)
    if hasattr(tensors, "_metadata"):
        copied._metadata = tensors._metadata  # type: ignore[attr-defined]
    return copied


def construct(make: Callable[[], nn.Module], fill: Strict | Values | None, frugal: bool) -> Filled:
    """The model that `make` constructs, with its values: `frugal` with parameters on meta first, in the ordinary way
    otherwise and where that cannot be.

    Raises `WorkbenchError` ("model", "weights", "device", "memory").
    """
    if fill is None:
        return Filled(make())
    notes: list[str] = []
    if frugal:
        with generators_kept():  # what it draws must not be missing in the construction that may follow
            filled = _constructed_on_meta(make, fill)
        if isinstance(filled, Filled):
            return filled
        notes = [f"constructed with all its memory first: {filled}"]
    model = make()
    return Filled(model, notes + fill(model, False))


def _constructed_on_meta(make: Callable[[], nn.Module], fill: Strict | Values) -> Filled | str:
    """The model with its values, its parameters never having had memory of their own; or why that cannot be."""
    before = torch.get_rng_state()
    try:
        with parameters_on_meta():
            model = make()
        drawn = not torch.equal(before, torch.get_rng_state())
        if drawn and (others := in_no_file(model)):
            # parameters on meta draw nothing, so that whatever is random after them gets other values than it should
            return f"{some(others)} may be random, and {'is' if len(others) == 1 else 'are'} in no file"
        notes = fill(model, True)
        left = left_on_meta(model)
        return f"{some(left)} would have had no values" if left else Filled(model, notes)
    except WorkbenchError as problem:
        if problem.failure.kind == "weights":
            raise
        return problem.failure.message
    except (RuntimeError, NotImplementedError, TypeError) as problem:
        return str(problem).split("\n")[0]
