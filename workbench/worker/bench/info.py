"""What there is to say about a built model: its module tree in columns, its sizes, its dtypes."""

from __future__ import annotations

import os
from typing import Any

import torch
from torch import nn

from workbench.protocol.model import ModelInfo, ModuleColumns, Recipe
from workbench.protocol.text import clean_line, shorten
from workbench.worker.bench.inputs import Example
from workbench.worker.bench.modes import walk

_DETAIL = 60
"""Characters of a module's extra_repr that are kept."""


def describe(
    recipe: Recipe,
    model: nn.Module,
    example: Example,
    source: tuple[str, str],
    weights: tuple[str, str],
    seconds: float,
    warnings: tuple[str, ...],
) -> ModelInfo:
    """The record about a model; `source` and `weights` are (path, sha256)."""
    parameters = {id(tensor): tensor for tensor in model.parameters()}
    buffers = {id(tensor): tensor for tensor in model.buffers()}
    dtypes: dict[str, int] = {}
    for tensor in [*parameters.values(), *buffers.values()]:
        name = str(tensor.dtype)[6:]
        dtypes[name] = dtypes.get(name, 0) + _elements(tensor)
    return ModelInfo(
        name=type(model).__name__,
        target=recipe.target,
        source=source[0],
        source_sha256=source[1],
        weights=weights[0],
        weights_sha256=weights[1],
        trust="CODE (Python)",
        parameters=sum(map(_elements, parameters.values())),
        parameter_bytes=sum(map(_bytes, parameters.values())),
        buffer_bytes=sum(map(_bytes, buffers.values())),
        dtypes=dtypes,
        modules=columns(model),
        inputs=example.infos,
        batch=example.batch,
        seconds=seconds,
        warnings=warnings,
    )


def columns(model: nn.Module) -> ModuleColumns:
    """The module tree in preorder, each module once; made for 100,000 of them."""
    names: list[str] = []
    depths: list[int] = []
    kinds: dict[str, int] = {}
    type_index: list[int] = []
    details: list[str] = []
    parents: list[int] = []
    row_of: dict[nn.Module, int] = {}
    for path, module, parent in walk(model):
        above = -1 if parent is None else row_of[parent]
        row_of[module] = len(names)
        parents.append(above)
        names.append(clean_line(path[len_of_parent(path) :]))
        depths.append(0 if above < 0 else depths[above] + 1)
        kind = type(module).__name__
        type_index.append(kinds.setdefault(kind, len(kinds)))
        details.append(_detail(module))
    counts = _parameters_below(list(row_of), parents)
    return ModuleColumns(tuple(names), tuple(depths), tuple(type_index), tuple(kinds), tuple(counts), tuple(details))


def len_of_parent(path: str) -> int:
    """Where the last part of a dotted path begins."""
    return path.rfind(".") + 1


def _parameters_below(modules: list[nn.Module], parents: list[int]) -> list[int]:
    """Elements of the parameters in each module and below; a shared one counts once for each module above it."""
    counts = [0] * len(modules)
    owners: dict[int, list[int]] = {}
    elements: dict[int, int] = {}
    for row, module in enumerate(modules):
        for parameter in module._parameters.values():
            if parameter is not None:
                owners.setdefault(id(parameter), []).append(row)
                elements[id(parameter)] = _elements(parameter)
    shared: list[tuple[list[int], int]] = []
    for key, rows in owners.items():
        if len(rows) == 1:
            counts[rows[0]] += elements[key]
        else:
            shared.append((rows, elements[key]))
    for row in range(len(modules) - 1, 0, -1):  # children stand behind their parents
        counts[parents[row]] += counts[row]
    for rows, size in shared:
        above: set[int] = set()
        for row in rows:
            while row >= 0 and row not in above:
                above.add(row)
                row = parents[row]
        for row in above:
            counts[row] += size
    return counts


def _detail(module: nn.Module) -> str:
    if type(module).extra_repr is nn.Module.extra_repr:
        return ""
    try:
        return shorten(clean_line(str(module.extra_repr())), _DETAIL)
    except Exception:  # noqa: BLE001 (the user's own text about a module; the tree does not depend on it)
        return ""


def _elements(tensor: torch.Tensor) -> int:
    return 0 if nn.parameter.is_lazy(tensor) else tensor.numel()


def _bytes(tensor: torch.Tensor) -> int:
    return 0 if nn.parameter.is_lazy(tensor) else tensor.numel() * tensor.element_size()


def tied(model: nn.Module) -> list[str]:
    """Sentences about parameters that several modules share."""
    first: dict[int, str] = {}
    words = []
    for name, parameter in model.named_parameters(remove_duplicate=False):
        if id(parameter) in first:
            words.append(f"{name} is tied to {first[id(parameter)]}")
        else:
            first[id(parameter)] = name
    return words


def absolute(recipe: Recipe, path: str) -> str:
    """`path` of a recipe, from the recipe's directory."""
    return os.path.abspath(os.path.join(recipe.directory, path)) if path else ""


def unset_tensors(model: nn.Module) -> list[str]:
    """Names of parameters that a lazy module has not made yet."""
    found: list[Any] = [*model.named_parameters(), *model.named_buffers()]
    return [name for name, tensor in found if nn.parameter.is_lazy(tensor)]
