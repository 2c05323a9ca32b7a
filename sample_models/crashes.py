"""A model that takes its process down on a chosen run.

    workbench sample_models/crashes.py:Crashes
    workbench sample_models/crashes.py:Crashes --kwargs '{"how": "exit", "after": 1}'

The first `after` runs are fine; the next one ends badly. The face lives on, names the cause, and one key brings
back a worker with the same model. `how` is one of `WAYS`.
"""

from __future__ import annotations

import ctypes
import os

from torch import Tensor, nn

WAYS = ("segfault", "abort", "exit", "raise", "loop", "native")
"""Null pointer, SIGABRT, os._exit(3), an exception, an endless loop in Python, ten minutes in C with the GIL held."""


class Crashes(nn.Module):
    """One linear layer; run number `after` + 1 ends as `how` says."""

    def __init__(self, how: str = "segfault", after: int = 3) -> None:
        super().__init__()
        if how not in WAYS:
            raise ValueError(f"how is {how!r}; it must be one of {', '.join(WAYS)}")
        self.how = how
        self.after = after
        self.runs = 0
        self.fc = nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        self.runs += 1
        if self.runs > self.after:
            crash(self.how)
        return self.fc(x)


def crash(how: str) -> None:
    """Do it. Returns only if the process survives, which it does for none of the ways but "native"."""
    if how == "segfault":
        ctypes.string_at(0)
    elif how == "abort":
        os.abort()
    elif how == "exit":
        os._exit(3)
    elif how == "raise":
        raise RuntimeError("this run was told to fail")
    elif how == "loop":
        while True:
            pass
    elif how == "native":
        ctypes.PyDLL(None).sleep(600)  # PyDLL, unlike CDLL, keeps the GIL: no other thread of Python can run
