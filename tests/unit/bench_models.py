"""Small models that the tests of the bench open by `bench_models.py:Name`, one habit each."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Net(nn.Module):
    """Two layers and a dropout between them."""

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        self.fc1 = nn.Linear(10, width)
        self.drop = nn.Dropout(0.5)
        self.fc2 = nn.Linear(width, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(self.drop(torch.relu(self.fc1(x))))


class Tied(nn.Module):
    """Its head is its embedding, and a non-persistent buffer counts positions."""

    def __init__(self, words: int = 20, width: int = 8) -> None:
        super().__init__()
        self.embed = nn.Embedding(words, width)
        self.head = nn.Linear(width, words, bias=False)
        self.head.weight = self.embed.weight
        self.register_buffer("places", torch.arange(4.0), persistent=False)
        self.norm = nn.BatchNorm1d(width)

    def forward(self, ids: Tensor) -> Tensor:
        return self.head(self.embed(ids))


class Frozen(nn.Module):
    """Keeps its batch norm in eval whatever `train()` says."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Dropout())

    def train(self, mode: bool = True) -> Frozen:
        super().train(mode)
        self.body[1].eval()
        return self

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x)


class Images(nn.Module):
    """Only images of 28 by 28 come out right."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 2, 3, padding=1)
        self.norm = nn.BatchNorm2d(2)
        self.fc = nn.Linear(2 * 28 * 28, 3)

    def forward(self, image: Tensor) -> Tensor:
        return self.fc(self.norm(self.conv(image)).flatten(1))


class TwoInputs(nn.Module):
    """Each argument goes to a layer of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(50, 4)
        self.numbers = nn.Linear(3, 4)

    def forward(self, ids: Tensor, features: Tensor, *, scale: float = 1.0) -> Tensor:
        return self.words(ids).sum(1)[:2] + self.numbers(features)[:2] * scale


class Opaque(nn.Module):
    """Nothing in it tells what it takes."""

    def forward(self, left: Tensor, right: Tensor) -> Tensor:
        return left * right


class Draws(nn.Module):
    """Its parameters show which generator state it was made under."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(4))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.weight


class ReadsParameters(nn.Module):
    """A constructor that looks at its parameters, so that they must be real."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(4, 4)
        self.scale = float(self.fc.weight.detach().abs().max())

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(x) / self.scale
