"""How long forwards take, as far as checks have seen, so that what does not fit is not begun. It judges nothing."""

from __future__ import annotations

import math
import weakref
from dataclasses import dataclass

from torch import nn


class TooLong(Exception):
    """A check needs more forwards than fit into its budget."""

    def __init__(self, forwards: int) -> None:
        super().__init__(f"{forwards} forwards")
        self.forwards = forwards


LONG = 0.2
"""Seconds of a forward below which nobody asks whether the next one fits."""
LARGE = 1 << 28
"""Bytes of an output from which it is told as a reason."""


@dataclass(frozen=True)
class Calls:
    """What is known of a model's forwards that checks have run in this process."""

    first: float
    """Seconds of the first."""
    count: int = 0
    fastest: float = math.inf
    """Seconds."""
    size: int = 0
    """Bytes of the last output, where it took long."""

    def and_one(self, seconds: float, size: int) -> Calls:
        return Calls(self.first, self.count + 1, min(self.fastest, seconds), size)


CALLS: weakref.WeakKeyDictionary[nn.Module, Calls] = weakref.WeakKeyDictionary()
"""Of each model."""
