"""Which modules a forward puts in train mode by itself, and at which line: nn.Module's own __setattr__ is watched.

Owns that watch. It changes no value; it is taken off again afterwards.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from types import FrameType
from typing import Any

from torch import nn

from workbench.worker.bench.failing import is_users

_SWITCHES = ("train", "eval")
"""Methods that set flags for others: the line that calls them is the one to name."""


@contextlib.contextmanager
def trained_by_itself(model: nn.Module) -> Iterator[dict[str, str]]:
    """Inside, path → file.py:line is noted of every module of `model` that comes into train mode from eval.

    The line is that of the user's who asked for it, above any train() or eval(); empty where none is on the stack.
    """
    found: dict[str, str] = {}
    paths = {id(module): path for path, module in model.named_modules()}
    usual = nn.Module.__setattr__

    def watched(self: nn.Module, name: str, value: Any) -> None:
        if name == "training" and value and id(self) in paths and not self.training:
            found.setdefault(paths[id(self)], _asked_at())
        usual(self, name, value)

    nn.Module.__setattr__ = watched  # type: ignore[method-assign]
    try:
        yield found
    finally:
        nn.Module.__setattr__ = usual  # type: ignore[method-assign]


def taken_out(place: str) -> str:
    """The remedy for a forward that calls train() at `place`."""
    return (
        f"Take the train() {f'at {place} ' if place else ''}out of forward; if it is meant (Monte Carlo dropout), "
        "declare the model stochastic."
    )


def _asked_at() -> str:
    frame: FrameType | None = sys._getframe(2)
    while frame is not None:
        code = frame.f_code
        if code.co_name not in _SWITCHES and is_users(code.co_filename):
            return f"{os.path.basename(code.co_filename)}:{frame.f_lineno}"
        frame = frame.f_back
    return ""
