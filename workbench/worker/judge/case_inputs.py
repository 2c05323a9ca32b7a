"""The inputs of one planned case, drawn from a model's example: the same each time for the same case."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from workbench.protocol.spec import InputSpec
from workbench.worker.bench.inputs import Argument, Example
from workbench.worker.bench.sampling import map_leaves, map_tensors
from workbench.worker.judge.plan import CASES, GIVEN, NAN, NEGATIVE, NORMAL, POSITIVE, ZEROS, Case


def case_inputs(example: Example, case: Case) -> tuple[tuple[Any, ...], dict[str, Any], dict[str, Any]]:
    """(args, kwargs, what is worth writing down about them), the same each time for the same case."""
    example, sizes = _at_extreme(example, case)
    batch = None if case.kind == GIVEN else case.batch or None  # a real sample has the rows that it has
    args, kwargs = example.sample(case.seed, batch, case.scale)
    if case.kind not in (NORMAL, GIVEN):
        values = [_signed(value, argument, case.kind) for value, argument in zip(args, example.arguments)]  # noqa: B905
        named = {argument.name: argument for argument in example.arguments}
        args = tuple(values)
        kwargs = {name: _signed(value, named[name], case.kind) for name, value in kwargs.items()}
    return args, kwargs, {"sizes": sizes} if sizes else {}


def real_seeds(example: Example) -> tuple[int, ...]:
    """Seeds of the real samples that are cases: as many as there are, evenly chosen where they are more than `CASES`;
    none where every input is drawn."""
    given = any(argument.spec is None for argument in example.arguments)
    return tuple(example.chosen(CASES)) if given else ()


def samples_taken(example: Example, cases: Sequence[Case]) -> str:
    """How many of the real samples are cases, in words; empty where there is at most one."""
    taken = sum(case.kind == GIVEN for case in cases)
    if example.count < 2:
        return ""
    return f"{taken} of {example.words}" + (", evenly over all of them" if taken < example.count else "")


def _at_extreme(example: Example, case: Case) -> tuple[Example, dict[str, int]]:
    """The example with other sizes of its dynamic dimensions than the batch: those of the case, or one end of their
    range; and those sizes."""
    if not case.extreme and not case.sizes:
        return example, {}
    sizes = {name: size for spec in example.specs for name, _, size in _ends(spec, example, case)}
    if not sizes:
        return example, {}

    def at_end(spec: InputSpec) -> InputSpec:
        return spec.resized({axis: size for _, axis, size in _ends(spec, example, case)})

    resized = example.mapped(lambda argument: argument.mapped(at_end))
    resized.place(example.dtype, example.device)
    return resized, sizes


def _ends(spec: InputSpec, example: Example, case: Case) -> list[tuple[str, int, int]]:
    """(name, axis, size) of the spec's dynamic dimensions, without the batch."""
    wanted = dict(case.sizes)
    found = []
    for dim in spec.dynamic:
        if dim.name != example.batch_name:
            end = {"low": dim.minimum, "high": dim.maximum}.get(case.extreme, spec.shape[dim.axis])
            found.append((dim.name, dim.axis, wanted.get(dim.name, end)))
    return found


def _signed(value: Any, argument: Argument, kind: str) -> Any:
    """Floating tensors with one sign or none; what has declared values, or was given, stays as it is.

    NAN is for those that were given as well: whether one may be there is for the model to say.
    """
    made_of: list[InputSpec | torch.Tensor] = []
    map_leaves(argument.value if argument.spec is None else argument.spec, made_of.append, (InputSpec, torch.Tensor))
    origins = iter(made_of)
    return map_tensors(value, lambda tensor: _signed_one(tensor, next(origins, None), kind))


def _signed_one(value: torch.Tensor, origin: InputSpec | torch.Tensor | None, kind: str) -> torch.Tensor:
    if isinstance(origin, InputSpec) and origin.declared:
        return value
    if kind == NAN:
        return _with_nan(value)
    if not isinstance(origin, InputSpec) or not value.is_floating_point():
        return value
    if kind == ZEROS:
        return torch.zeros_like(value)
    return value.abs().neg() if kind == NEGATIVE else value.abs() if kind == POSITIVE else value


def _with_nan(value: torch.Tensor) -> torch.Tensor:
    if not value.is_floating_point() or not value.numel():
        return value
    value = value.contiguous().clone()
    value.view(-1)[value.numel() // 2] = float("nan")
    return value
