"""Models whose modules part from each other's in one place each."""

from __future__ import annotations

import time

import torch
from torch import Tensor, nn


class Block(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.fc, self.act = nn.Linear(width, width), nn.GELU()

    def forward(self, x: Tensor) -> Tensor:
        return x + self.act(self.fc(x))


class Deep(nn.Module):
    def __init__(self, width: int = 16, act: str = "gelu") -> None:
        super().__init__()
        self.stem = nn.Linear(10, width)
        self.body = nn.Sequential(Block(width), Block(width), Block(width))
        self.norm = nn.BatchNorm2d(width)
        self.head = nn.Linear(width, 5)
        if act == "relu":
            self.body[1].act = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.body(self.stem(x))
        return self.head(self.norm(hidden[..., None, None].expand(-1, -1, 2, 2)).mean((2, 3)))


class Longer(Deep):
    """One module more, between those that both have."""

    def __init__(self) -> None:
        super().__init__()
        self.extra = nn.Linear(16, 16)

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.body(self.extra(self.stem(x)))
        return self.head(self.norm(hidden[..., None, None].expand(-1, -1, 2, 2)).mean((2, 3)))


class Strange(nn.Module):
    """No path of `Deep`'s."""

    def __init__(self) -> None:
        super().__init__()
        self.only = nn.Linear(10, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.only(x)


class Unseeded(Deep):
    """Other values each time that it is constructed."""

    def __init__(self) -> None:
        super().__init__()
        with torch.no_grad():
            self.stem.bias.fill_(time.perf_counter_ns() % 1_000_003 / 1e6)


class RefusesOne(Deep):
    """Raises on the smallest batch only, and is off on the others."""

    def forward(self, x: Tensor) -> Tensor:
        if len(x) == 1:
            raise ValueError("one row is too few")
        return super().forward(x) + 1e-2
