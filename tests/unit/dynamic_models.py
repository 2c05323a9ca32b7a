"""Models whose code makes something of the sizes of their input."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Free(nn.Module):
    """Serves any batch and any length."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(x).mean(1)


class Short(Free):
    """Another computation from 65 on."""

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[1] > 64:
            return self.fc(x) * 2
        return self.fc(x)


class Pinned(Free):
    """A length that becomes a number of Python's."""

    def forward(self, x: Tensor) -> Tensor:
        length = len(range(int(x.shape[1])))
        return self.fc(x) + float(length)


class Rows(Free):
    """A batch that becomes a number of Python's."""

    def forward(self, x: Tensor) -> Tensor:
        rows = len(range(int(x.shape[0])))
        return self.fc(x) + float(rows)


class AtMost(Free):
    """Eager itself refuses more than eight rows."""

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[0] > 8:
            raise ValueError("at most eight")
        return self.fc(x)


class Even(Free):
    """Takes steps two by two; eager refuses odd lengths itself."""

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(x).reshape(x.shape[0], x.shape[1] // 2, 2, 4).sum(1)


class Pairs(Free):
    """Two inputs of one length."""

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return self.fc(x) + y


class Twice(nn.Module):
    """Two lines that depend on the data."""

    def forward(self, x: Tensor) -> Tensor:
        y = x + 1 if x.sum() > 0 else x
        return y * torch.ones(int(x.abs().max().item()) + 1).sum()


class Halved(nn.Module):
    """Even sizes only, of which torch makes a constant of the smallest."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        rows, seq, wide = x.shape
        return self.fc(x.reshape(rows, seq // 2, 2 * wide))


class Quarters(Free):
    """Multiples of four only, which the line computes from the size that it reads."""

    def forward(self, x: Tensor) -> Tensor:
        rows, seq, _ = x.shape
        return self.fc(x).reshape(rows, seq // 4, 4, 4).amax(2)
