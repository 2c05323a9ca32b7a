"""What stands on the modules of a model in a word each, so that two runs can be told apart by what they began with.

Reads attributes and keeps none of their values; no replay can put them back.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

WATCHED = 2_000
"""Modules whose attributes are told."""

_OWN = frozenset(vars(nn.Module()))
"""What nn.Module keeps for itself; flags, buffers and parameters are recorded by other means."""
_TOLD = (bool, int, float, str, list, dict, set, torch.Tensor, type(None))


def attributes_of(modules: Sequence[tuple[str, nn.Module]]) -> dict[str, str]:
    """ "body.calls" → "3", "cache" → "2 items", "state" → "a tensor [4]"."""
    return {
        f"{path}.{name}" if path else name: _word(value)
        for path, module in modules[:WATCHED]
        for name, value in vars(module).items()
        if name not in _OWN and isinstance(value, _TOLD)
    }


def stood_otherwise(a: dict[str, str], b: dict[str, str]) -> list[tuple[str, str, str]]:
    """(name, in the first, in the second) of what differs; "nothing" where there was none."""
    names = [*a, *(name for name in b if name not in a)]
    found = [(name, a.get(name, "nothing"), b.get(name, "nothing")) for name in names]
    return [(name, was, now) for name, was, now in found if was != now]


def _word(value: Any) -> str:
    if isinstance(value, torch.Tensor):
        return f"a tensor {list(value.shape)}"
    if isinstance(value, (list, dict, set)):
        return f"{len(value)} items"
    return f"a text of {len(value)}" if isinstance(value, str) else repr(value)
