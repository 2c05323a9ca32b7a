"""Models with breakpoints in them, and what else a console has to live through."""

from __future__ import annotations

import os
import pdb
import sys
import threading
import time

import torch
from torch import Tensor, nn


class Stops(nn.Module):
    """Stands still in its forward, with a local to look at and to set."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(10, 4)
        self.drop = nn.Dropout(0.5)

    def forward(self, x: Tensor) -> Tensor:
        factor = 3.0
        hidden = self.fc(x)
        breakpoint()
        return self.drop(hidden) * factor


class Traces(Stops):
    """By pdb's own name."""

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.fc(x)
        pdb.set_trace()
        return hidden


class Elsewhere(Stops):
    """In a thread of its own."""

    def forward(self, x: Tensor) -> Tensor:
        thread = threading.Thread(target=self._stop)
        thread.start()
        thread.join()
        return self.fc(x)

    def _stop(self) -> None:
        breakpoint()


class Plain(Stops):
    """Never stands still."""

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.drop(x))

    def nap(self, seconds: float) -> None:
        print("asleep")
        print("napping", file=sys.__stderr__, flush=True)  # past whoever catches what is printed
        time.sleep(seconds)

    def leave(self) -> None:
        os._exit(3)


class Wrong(Plain):
    """Its second layer does not fit."""

    def __init__(self) -> None:
        super().__init__()
        self.last = nn.Linear(5, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.fc(x))


class Twice(Plain):
    """One layer, called twice, with a flag beside the tensor."""

    def __init__(self) -> None:
        super().__init__()
        self.same = Layer()

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        first = self.same(x, scale=True)
        return {"logits": self.fc(self.same(first, scale=False)), "mask": x > 0}


class Layer(nn.Module):
    """Counts its calls in a buffer."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("calls", torch.zeros(1), persistent=False)

    def forward(self, x: Tensor, scale: bool) -> Tensor:
        self.calls += 1
        return x * 2 if scale else x + 1
