"""The inputs of one golden case, and how the manifest describes arguments so that they can be built again."""

from __future__ import annotations

import dataclasses
from typing import Any

import torch

from workbench.worker.artifact.golden_plan import GIVEN, NEGATIVE, NORMAL, POSITIVE, ZEROS, Case
from workbench.worker.artifact.subject import Subject
from workbench.worker.bench.inputs import Argument, Example
from workbench.worker.judge.leaves import flatten


def case_inputs(subject: Subject, case: Case) -> tuple[tuple[Any, ...], dict[str, Any], dict[str, Any]]:
    """(args, kwargs, what the manifest adds about them), the same each time for the same case."""
    example, sizes = _at_extreme(subject.example, case)
    args, kwargs = example.sample(case.seed, case.batch or None, case.scale)
    if case.kind not in (NORMAL, GIVEN):
        values = [_signed(value, argument, case.kind) for value, argument in zip(args, example.arguments)]  # noqa: B905
        named = {argument.name: argument for argument in example.arguments}
        args = tuple(values)
        kwargs = {name: _signed(value, named[name], case.kind) for name, value in kwargs.items()}
    return args, kwargs, {"sizes": sizes} if sizes else {}


def argument_trees(subject: Subject) -> list[dict[str, Any]]:
    """For each argument: name, spec, origin, how it is passed, its tensors' dtypes and shapes, and its tree.

    The tree is what `prove_cases.grow` builds the argument from.
    """
    entries = []
    values = (*subject.args, *subject.kwargs.values())
    for argument, name, value in zip(subject.example.arguments, subject.names, values):  # noqa: B905 (one each)
        tensors = {
            path: {"dtype": str(leaf.dtype).removeprefix("torch."), "shape": list(leaf.shape)}
            for path, leaf in flatten(value, name).leaves
        }
        passed = "keyword" if argument.keyword else "positional"
        entry = {"name": name, "spec": argument.text, "origin": argument.origin, "passed": passed}
        entries.append({**entry, "tensors": tensors, "tree": _tree(value, name)})
    return entries


def _tree(value: Any, path: str) -> dict[str, Any]:
    if isinstance(value, torch.Tensor):
        return {"tensor": path}
    if isinstance(value, dict):
        return {"dict": {key: _tree(part, f"{path}[{key!r}]") for key, part in value.items()}}
    if isinstance(value, (list, tuple)):
        parts = [_tree(part, f"{path}[{place}]") for place, part in enumerate(value)]
        return {"tuple" if isinstance(value, tuple) else "list": parts}
    return {"value": value}


def _at_extreme(example: Example, case: Case) -> tuple[Example, dict[str, int]]:
    """The example with its dynamic dimensions other than the batch at one end of their range, and those sizes."""
    if not case.extreme:
        return example, {}
    sizes: dict[str, int] = {}
    arguments: list[Argument] = []
    for argument in example.arguments:
        spec = argument.spec
        if spec is not None:
            ends = {
                dim.axis: dim.minimum if case.extreme == "low" else dim.maximum
                for dim in spec.dynamic
                if dim.name != example.batch_name
            }
            sizes.update({dim.name: ends[dim.axis] for dim in spec.dynamic if dim.axis in ends})
            argument = dataclasses.replace(argument, spec=spec.resized(ends))
        arguments.append(argument)
    if not sizes:
        return example, {}
    resized = Example(tuple(arguments), example.seed)
    resized.place(example.dtype, example.device)
    return resized, sizes


def _signed(value: Any, argument: Argument, kind: str) -> Any:
    """A floating tensor with one sign or none; what has a declared range, or was given, stays as it is."""
    ranged = argument.spec is None or argument.spec.low is not None
    if ranged or not isinstance(value, torch.Tensor) or not value.is_floating_point():
        return value
    if kind == ZEROS:
        return torch.zeros_like(value)
    return value.abs().neg() if kind == NEGATIVE else value.abs() if kind == POSITIVE else value
