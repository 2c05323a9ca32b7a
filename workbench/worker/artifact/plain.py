"""Outputs and arguments that an artifact can have: plain tensors by name, arguments by place.

A class of the model's own source in the output (a dataclass, a ModelOutput, a cache) makes an artifact that only
loads where that source is importable. Plain tensors, tuples, lists and dicts stay as they are. What is adapted is a
copy that was made for it, never the model itself.
"""

from __future__ import annotations

import functools
import inspect
from collections import OrderedDict
from collections.abc import Collection, Sequence
from typing import Any

import torch

from workbench.protocol.failures import error
from workbench.worker.artifact.plain_parts import open_parts
from workbench.worker.artifact.prove_cases import plain_output
from workbench.worker.judge.leaves import flatten_plain


def named_outputs(model: torch.nn.Module, within: bool = True, names: Collection[str] | None = None) -> None:
    """From now on `model` answers with a dict of its tensors by path; constants are left out. `within`: also the
    tensors that plain objects hold, such as a cache. names: of the only ones to answer with, for torch.jit.trace makes
    tensors of what counts sizes (None: of all).

    Only the object's class is exchanged, so that parameters, paths and the signature of forward stay as they are.
    """
    original = type(model)

    @functools.wraps(original.forward)
    def forward(self: torch.nn.Module, *args: Any, **kwargs: Any) -> dict[str, torch.Tensor]:
        named = plain_output(original.forward(self, *args, **kwargs), within)
        return named if names is None else {name: leaf for name, leaf in named.items() if name in names}

    exchange(model, forward)


def plain_or_raise(output: Any, within: bool = True) -> dict[str, torch.Tensor]:
    """`plain_output`. Raises `WorkbenchError("export")` when two tensors come to one name."""
    try:
        return plain_output(output, within)
    except ValueError as problem:
        raise error("export", f"{problem}.", "", "Give one of the two keys another name.") from problem


def placed_arguments(model: torch.nn.Module, names: Sequence[str], by_place: int) -> None:
    """From now on `model` takes `names` by place: the first `by_place` are passed on by place, the others by name."""
    original = type(model)
    keywords = tuple(names[by_place:])

    def forward(self: torch.nn.Module, *args: Any) -> Any:
        named = dict(zip(keywords, args[by_place:]))  # noqa: B905 (one value a name)
        return original.forward(self, *args[:by_place], **named)

    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    parameters = [inspect.Parameter(name, kind) for name in ("self", *names)]
    forward.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    exchange(model, forward)


def free_names(model: torch.nn.Module, args: Sequence[Any], kwargs: dict[str, Any]) -> bool:
    """Whether a call gives an argument under a name of which forward's signature says no more than `**kwargs`."""
    signature = inspect.signature(model.forward)
    try:
        bound = signature.bind(*args, **kwargs).arguments
    except TypeError:
        return False
    kinds = {name: one.kind for name, one in signature.parameters.items()}
    return any(kinds[name] is inspect.Parameter.VAR_KEYWORD for name in bound)


def named_arguments(model: torch.nn.Module, names: Sequence[str], by_place: int) -> None:
    """From now on forward's signature has `names`, the first `by_place` of them by place; it does what it did.

    torch.export takes no dynamic shapes for what stands in `**kwargs`. Raises ValueError for what is no name.
    """
    original = type(model)

    @functools.wraps(original.forward)
    def forward(self: torch.nn.Module, *args: Any, **kwargs: Any) -> Any:
        return original.forward(self, *args, **kwargs)

    place, name = inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY
    kinds = [place, *(place if number < by_place else name for number in range(len(names)))]
    parameters = [inspect.Parameter(one, kind) for one, kind in zip(("self", *names), kinds)]  # noqa: B905 (one a name)
    forward.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    exchange(model, forward)


def exchange(model: torch.nn.Module, forward: Any) -> None:
    """Give `model` this forward: only the class of the object is another one, which has its name."""
    original = type(model)
    model.__class__ = type(original.__name__, (original,), {"forward": forward, "__module__": original.__module__})


def is_plain(output: Any) -> bool:
    """Whether every artifact kind can give `output` as it is."""
    if isinstance(output, torch.Tensor):
        return True
    if type(output) in (tuple, list):
        return bool(output) and all(is_plain(part) for part in output)
    if type(output) in (dict, OrderedDict):
        return bool(output) and all(type(key) is str and is_plain(part) for key, part in output.items())
    return False


def left_out(output: Any) -> list[str]:
    """What of `output` has no place among plain tensors, in words: constants, and objects that hold no tensor."""
    lines = [line.partition("\t") for line in flatten_plain(open_parts(output)).structure.split("\n")]
    containers = ("mapping of", "sequence of", "record of")
    return [f"{path} ({kind})" for path, _, kind in lines if kind != "tensor" and not kind.startswith(containers)]
