"""Seeded faults that look like others: state that looks like coupled rows, draws that depend on values, rare coupling,
inputs known by their identity, modes that the forward sets itself."""

from __future__ import annotations

import random

from torch import Tensor, nn
from torch.nn import functional as F

from tests.corpus.faults import Mid, Net


class PythonBranch(Mid):
    def forward(self, x: Tensor) -> Tensor:
        y = self.mix(x)
        order = list(range(8))
        random.shuffle(order)  # fault
        return y[:, order]


class NumpyLine(Mid):
    def forward(self, x: Tensor) -> Tensor:
        import numpy

        scale = 1 + 0.01 * float(numpy.random.rand())  # fault
        return self.mix(x) * scale


class KnownById(nn.Module):
    """Right while every input is a new object that stays."""

    def __init__(self) -> None:
        super().__init__()
        self.linear, self.known = nn.Linear(6, 8), dict[int, Tensor]()

    def forward(self, x: Tensor) -> Tensor:
        if id(x) not in self.known:
            self.known[id(x)] = self.linear(x)
        return self.known[id(x)]  # fault


class KnownByObject(nn.Module):
    """Holds the last input, so no id is used twice; a caller who fills one tensor again gets the old answer."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(6, 8)
        self.last: tuple[Tensor, Tensor] | None = None

    def forward(self, x: Tensor) -> Tensor:
        if self.last is None or self.last[0] is not x:
            self.last = (x, self.linear(x))
        return self.last[1].clone()  # fault


class KeepsBySize(Mid):
    """The answer to the first batch of each size."""

    def __init__(self) -> None:
        super().__init__()
        self.kept = dict[int, Tensor]()

    def forward(self, x: Tensor) -> Tensor:
        return self.kept.setdefault(len(x), self.mix(x))  # fault


class LaterOtherwise(Mid):
    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        return self.mix(x) * (2 if self.calls > 4 else 1)  # fault


class DrawsWhereNegative(Mid):
    """As many numbers as there are negative elements."""

    def forward(self, x: Tensor) -> Tensor:
        return F.rrelu(self.mix(x), training=True)  # fault


class TopOfBatch(Mid):
    """Keeps the three largest of the whole batch: most rows never notice."""

    def forward(self, x: Tensor) -> Tensor:
        y = self.mix(x)
        least = y.flatten().topk(3).values[-1]  # fault
        return y * (y >= least)


def net(name: str) -> nn.Module:
    return Net(globals()[name]())
