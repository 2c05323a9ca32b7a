"""How the manifest describes the arguments of a call, so that they can be built again."""

from __future__ import annotations

from typing import Any

import torch

from workbench.worker.artifact.subject import Subject
from workbench.worker.judge.leaves import flatten_plain


def argument_trees(subject: Subject) -> list[dict[str, Any]]:
    """For each argument: name, spec, origin, how it is passed, its tensors' dtypes and shapes, and its tree.

    The tree is what `prove_cases.grow` builds the argument from.
    """
    entries = []
    values = (*subject.args, *subject.kwargs.values())
    for argument, name, value in zip(subject.example.arguments, subject.names, values):  # noqa: B905 (one each)
        tensors = {
            path: {"dtype": str(leaf.dtype).removeprefix("torch."), "shape": list(leaf.shape)}
            for path, leaf in flatten_plain(value, name).leaves
        }
        passed = "keyword" if argument.keyword else "positional"
        entry = {"name": name, "spec": argument.text, "origin": argument.origin, "passed": passed}
        entries.append({**entry, "tensors": tensors, "tree": _tree(value, name)})
    return entries


def _tree(value: Any, path: str) -> dict[str, Any]:
    if isinstance(value, torch.Tensor):
        return {"tensor": path}
    if isinstance(value, dict) and not all(type(key) is str for key in value):
        return {"pairs": [[key, _tree(part, f"{path}[{key!r}]")] for key, part in value.items()]}
    if isinstance(value, dict):
        return {"dict": {key: _tree(part, f"{path}[{key!r}]") for key, part in value.items()}}
    if isinstance(value, (list, tuple)):
        parts = [_tree(part, f"{path}[{place}]") for place, part in enumerate(value)]
        return {"tuple" if isinstance(value, tuple) else "list": parts}
    return {"value": value}
