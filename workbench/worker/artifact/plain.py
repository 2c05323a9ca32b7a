"""Outputs that an artifact can give: a wrapper that turns anything else into a dict of named plain tensors.

A class of the model's own source in the output (a dataclass, a ModelOutput, a cache) makes an artifact that only
loads where that source is importable. Plain tensors, tuples, lists and dicts stay as they are.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import torch

from workbench.worker.judge.leaves import flatten

PREFIX = "model"
"""Attribute of the wrapper that holds the model: its parameters have this before their names."""


class Named(torch.nn.Module):
    """Calls `model` and gives its tensors by name; constants and opaque objects are left out."""

    def __init__(self, model: torch.nn.Module) -> None:
        super().__init__()
        self.model = model
        self.training = model.training

    def forward(self, *args: Any, **kwargs: Any) -> dict[str, torch.Tensor]:
        """The wrapped model's leaves, named by `leaf_name`."""
        return {leaf_name(path): leaf for path, leaf in flatten(self.model(*args, **kwargs)).leaves}


class Positional(torch.nn.Module):
    """Calls `model` with some arguments by name, for a kind that only knows places."""

    def __init__(self, model: torch.nn.Module, places: int, names: tuple[str, ...]) -> None:
        super().__init__()
        self.model = model
        self.training = model.training
        self._places = places
        self._names = names

    def forward(self, *args: Any) -> Any:
        """Same result as the model's own forward."""
        return self.model(*args[: self._places], **dict(zip(self._names, args[self._places :])))  # noqa: B905


def leaf_name(path: str) -> str:
    """A leaf's path as a plain name: "output.logits" → "logits", "output['past'][0]" → "past.0"."""
    name = path.replace("['", ".").replace("']", "").replace("[", ".").replace("]", "")
    return name.partition(".")[2] or name


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
    """What of `output` the wrapper leaves out, in words: constants and objects that hold no plain tensor."""
    flat = flatten(output)
    lines = [line.partition("\t") for line in flat.structure.split("\n")]
    containers = ("mapping of", "sequence of", "record of")
    return [f"{path} ({kind})" for path, _, kind in lines if kind != "tensor" and not kind.startswith(containers)]
