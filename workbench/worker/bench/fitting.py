"""A state_dict into a model: strictly, with ties kept and every difference named.

Owns the words about keys and shapes that do not fit, and the assigning of tensors without a second copy.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn

from workbench.protocol.failures import WorkbenchError, error
from workbench.worker.bench.failing import failed_in
from workbench.worker.bench.packages import names_as_read
from workbench.worker.bench.repair import Repair, solve
from workbench.worker.bench.weights import Checkpoint
from workbench.worker.bench.words import counted, shape_text, some, with_article

_SHOWN = 2000
"""Lines of the complete difference, so that half a million keys do not fill the pipe."""


@dataclass(frozen=True)
class Difference:
    """How a file's names and shapes differ from a model's."""

    missing: tuple[str, ...]
    """In the model, not in the file."""
    unexpected: tuple[str, ...]
    """In the file, not in the model."""
    shapes: tuple[tuple[str, tuple[int, ...], tuple[int, ...]], ...]
    """(name, shape in the file, shape in the model)."""
    expected: int
    """Names the model has."""

    def __bool__(self) -> bool:
        return bool(self.missing or self.unexpected or self.shapes)

    @property
    def summary(self) -> str:
        """ "2 missing, 1 unexpected, 1 of another shape: fc2.weight [5,10] in the file, [4,10] in the model"."""
        parts = []
        if self.missing:
            parts.append(f"{len(self.missing)} missing ({some(self.missing)})")
        if self.unexpected:
            parts.append(f"{len(self.unexpected)} unexpected ({some(self.unexpected)})")
        if self.shapes:
            name, theirs, ours = self.shapes[0]
            example = f"{name} {shape_text(theirs)} in the file, {shape_text(ours)} in the model"
            parts.append(f"{len(self.shapes)} of another shape: {example}")
        return ", ".join(parts)

    @property
    def complete(self) -> str:
        """Every difference, one a line."""
        lines = [f"missing     {name}" for name in self.missing]
        lines += [f"unexpected  {name}" for name in self.unexpected]
        lines += [f"shape       {n} {list(a)} in the file, {list(b)} in the model" for n, a, b in self.shapes]
        more = [f"… and {len(lines) - _SHOWN} more"] if len(lines) > _SHOWN else []
        return "\n".join(lines[:_SHOWN] + more)


def difference(model: nn.Module, tensors: dict[str, Any]) -> Difference:
    """Names and shapes of `tensors` against the model's state_dict."""
    own = model.state_dict(keep_vars=True)
    shapes = [
        (name, tuple(tensors[name].shape), tuple(value.shape))
        for name, value in own.items()
        if isinstance(value, torch.Tensor)
        and isinstance(tensors.get(name), torch.Tensor)
        and not nn.parameter.is_lazy(value)
        and tensors[name].shape != value.shape
    ]
    missing = tuple(name for name in own if name not in tensors)
    return Difference(missing, tuple(name for name in tensors if name not in own), tuple(shapes), len(own))


def put(model: nn.Module, checkpoint: Checkpoint, assign: bool, repair: str = "") -> list[str]:
    """Fill `model` with the checkpoint; returns what is worth knowing. Raises `WorkbenchError("weights")`.

    The model keeps its own dtypes, as `load_state_dict` does; a file of another dtype is cast, and that is said.
    With `assign` the file's tensors become the model's, without a copy; tied parameters are tied again afterwards.
    repair: what to do when names do not fit, as in `Recipe.repair`.
    """
    ties = _ties(model)
    tensors, notes = checkpoint.tensors, list[str]()
    if difference(model, _with_ties(ties, tensors)):
        tensors, notes = names_as_read(model, tensors)
        checkpoint = replace(checkpoint, tensors=tensors)
    if repair and difference(model, _with_ties(ties, tensors)):
        tensors, said = _repaired(model, checkpoint, repair, assign)
        notes += said
    _require_forms(model, tensors, checkpoint.path)
    notes += _fill_ties(ties, tensors)
    wrong = difference(model, tensors)
    notes += _casts(model, tensors, assign)
    try:
        model.load_state_dict(tensors, strict=True, **({"assign": True} if assign else {}))
    except Exception as problem:  # modules may read their values by code of their own
        if wrong:
            raise _does_not_fit(model, checkpoint, wrong) from problem
        raise failed_in(
            problem, "weights", f"{checkpoint.path} does not load into the model", checkpoint.path
        ) from None
    if assign:
        _tie_again(model, ties)
    return notes


def take_over(model: nn.Module, state: dict[str, torch.Tensor]) -> list[str]:
    """The values of `state` into the model where names and shapes agree; says what did not.

    Parameters on meta become the tensors of `state` themselves, without a copy; all others are written into.
    """
    ties = _ties(model)
    own = dict(model.named_parameters(remove_duplicate=False))
    buffers = dict(model.named_buffers(remove_duplicate=False))
    fresh = []
    with torch.no_grad():
        for name, tensor in {**own, **buffers}.items():
            given = state.get(name)
            if given is None or given.shape != tensor.shape or nn.parameter.is_lazy(tensor):
                fresh.append(name)
            elif tensor.is_meta:
                path, _, leaf = name.rpartition(".")
                parameter = nn.Parameter(given.to(tensor.dtype), requires_grad=tensor.requires_grad)
                setattr(model.get_submodule(path), leaf, parameter)
            else:
                tensor.copy_(given)
    _tie_again(model, ties)
    gone = [name for name in state if name not in own and name not in buffers]
    notes = [f"{counted(len(fresh), 'tensor')} as constructed, not kept: {some(fresh)}"] if fresh else []
    return notes + ([f"{counted(len(gone), 'tensor')} of the former model dropped: {some(gone)}"] if gone else [])


def _ties(model: nn.Module) -> list[list[str]]:
    """Names that share one parameter, for each parameter that has several."""
    groups: dict[int, list[str]] = {}
    for name, parameter in model.named_parameters(remove_duplicate=False):
        groups.setdefault(id(parameter), []).append(name)
    return [names for names in groups.values() if len(names) > 1]


def _with_ties(ties: list[list[str]], tensors: dict[str, Any]) -> dict[str, Any]:
    """`tensors` with every tied name of which another name is there."""
    filled = dict(tensors)
    for names in ties:
        present = [name for name in names if name in tensors]
        filled.update((name, tensors[present[0]]) for name in names if present and name not in tensors)
    return filled


def _fill_ties(ties: list[list[str]], tensors: dict[str, Any]) -> list[str]:
    """A file may hold a tied tensor under one of its names only; and under two names with two values."""
    notes = []
    for names in ties:
        present = [name for name in names if name in tensors]
        if not present:
            continue
        for name in names:
            if name not in tensors:
                tensors[name] = tensors[present[0]]
                notes.append(f"{name} is not in the file, and came from {present[0]}, to which it is tied")
        last = tensors[present[-1]]
        differing = [name for name in present[:-1] if not _same(tensors[name], last)]
        if differing:
            # the last is what load_state_dict leaves where it writes into the tensor that all of them are
            which = f"{present[-1]}'s values were taken"
            notes.append(f"{some([*differing, present[-1]])} are tied in the model and differ in the file: {which}")
            tensors.update(dict.fromkeys(names, last))
    return notes


def _same(one: torch.Tensor, other: torch.Tensor) -> bool:
    return one is other or (one.shape == other.shape and torch.equal(one, other))


def _require_forms(model: nn.Module, tensors: dict[str, Any], path: str) -> None:
    """Raises `WorkbenchError("weights")` for what cannot become the model's tensor: a list, a sparse tensor."""
    wrong = []
    for name, own in model.state_dict(keep_vars=True).items():
        given = tensors.get(name)
        if given is None or not isinstance(own, torch.Tensor):
            continue
        had, wanted = _form(given), _form(own)
        if had != wanted:
            wrong.append(f"{name} is {had} in the file, {wanted} in the model")
    if wrong:
        remedy = "Save it as the model has it: tensor.to_dense(), .dequantize()."
        raise error("weights", f"{os.path.basename(path)} does not fit: {some(wrong)}.", path, remedy)


def _form(value: Any) -> str:
    """ "dense", "sparse_coo", "quantised", or "a list"."""
    if not isinstance(value, torch.Tensor):
        return with_article(type(value).__name__)
    kind = "nested" if value.is_nested else "quantised" if value.is_quantized else str(value.layout)[6:]
    return "dense" if kind == "strided" else kind


def _casts(model: nn.Module, tensors: dict[str, Any], assign: bool) -> list[str]:
    """Casts to the model's own dtypes: done here for `assign`, which would take the file's; said in both cases."""
    counts: dict[tuple[str, str], int] = {}
    for name, own in model.state_dict(keep_vars=True).items():
        given = tensors.get(name)
        if not isinstance(own, torch.Tensor) or not isinstance(given, torch.Tensor) or given.dtype == own.dtype:
            continue
        pair = (str(given.dtype)[6:], str(own.dtype)[6:])
        counts[pair] = counts.get(pair, 0) + 1
        if assign:
            tensors[name] = given.to(own.dtype)
    return [
        f"{counted(count, 'tensor')} of the file {'is' if count == 1 else 'are'} {given} and became the model's {own}"
        for (given, own), count in counts.items()
    ]


def _tie_again(model: nn.Module, ties: list[list[str]]) -> None:
    for names in ties:
        first = model.get_parameter(names[0])
        for name in names[1:]:
            path, _, leaf = name.rpartition(".")
            setattr(model.get_submodule(path), leaf, first)


def proposal(model: nn.Module, tensors: dict[str, Any]) -> Repair:
    """The map from the names of a file to those of `model`."""
    own = {
        name: tuple(value.shape) if isinstance(value, torch.Tensor) and not nn.parameter.is_lazy(value) else None
        for name, value in model.state_dict(keep_vars=True).items()
    }
    file = {name: tuple(one.shape) if isinstance(one, torch.Tensor) else None for name, one in tensors.items()}
    return solve(file, own, _ties(model))


def renamed(tensors: dict[str, Any], found: Repair) -> dict[str, Any]:
    """What of `tensors` fits, under the model's names and in the model's versions."""
    return {found.names[name]: value for name, value in tensors.items() if name in found.names}


def _repaired(model: nn.Module, checkpoint: Checkpoint, how: str, assign: bool) -> tuple[dict[str, Any], list[str]]:
    """(the checkpoint's tensors under the model's names, what was done, in words). Raises `WorkbenchError("weights")`.

    With `assign` it raises RuntimeError where values of the constructor's are needed, which are not there then.
    """
    found = proposal(model, checkpoint.tensors)
    if not found.helps or (how == "auto" and not found.safe):
        raise _does_not_fit(model, checkpoint, difference(model, checkpoint.tensors))
    tensors = renamed(checkpoint.tensors, found)
    if found.random:
        own = model.state_dict()
        if assign:
            raise RuntimeError(f"{some(found.random)} stay as constructed")
        tensors.update((name, own[name]) for name in found.random if name in own)
    return tensors, [f"repaired: {found.words.replace('would stay', 'stay')}"]


def _does_not_fit(model: nn.Module, checkpoint: Checkpoint, wrong: Difference) -> WorkbenchError:
    file = os.path.basename(checkpoint.path)
    message = f"The weights in {file} do not fit {type(model).__name__}: {wrong.summary}."
    found = proposal(model, checkpoint.tensors)
    if not found.helps:
        remedy = "Check the constructor's arguments, or the file."
        return error("weights", message, checkpoint.path, remedy, difference=wrong.complete)
    how = "auto" if found.safe else "yes"
    doubt = f" But {found.doubt}." if found.doubt else ""
    remedy = f"{found.words}.{doubt} Take it: --repair {how}; see and keep it: workbench repair."
    return error("weights", message, checkpoint.path, remedy, difference=wrong.complete, repair=how)
