"""Models for the mode matrix and the memory account: each behaves in one way that a cell has to show."""

from __future__ import annotations

import itertools
import os
import time

import torch
from torch import Tensor, nn


class Plain(nn.Module):
    """Two layers and nothing else."""

    def __init__(self, width: int = 64) -> None:
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(10, width), nn.Linear(width, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(self.fc1(x).relu())


class Dropping(Plain):
    """Random in train mode alone."""

    def __init__(self) -> None:
        super().__init__()
        self.drop = nn.Dropout(0.5)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(self.drop(self.fc1(x).relu()))


class Normed(Plain):
    """Batch statistics in train mode, and buffers that move."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(64)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(self.norm(self.fc1(x)).relu())


class AlwaysRandom(Plain):
    """Draws in eval, too."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) + torch.rand(5)


class Spectral(Plain):
    """Answers in complex128, and beside it with what nobody can look into."""

    def forward(self, x: Tensor) -> dict[str, object]:
        return {"y": torch.fft.fft(super().forward(x).double()), "other": iter(())}


_calls = itertools.count(1)


class Elsewhere(Plain):
    """Its answer moves on with a number that no module holds."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) + next(_calls)


class Tokens(nn.Module):
    """Integer inputs."""

    def __init__(self) -> None:
        super().__init__()
        self.emb, self.fc = nn.Embedding(100, 16), nn.Linear(16, 3)

    def forward(self, ids: Tensor) -> Tensor:
        return self.fc(self.emb(ids).mean(1))


class Gradient(Plain):
    """Takes a gradient inside its forward, which inference mode forbids."""

    def forward(self, x: Tensor) -> Tensor:
        with torch.enable_grad():
            x = x.detach().requires_grad_()
            (slope,) = torch.autograd.grad(super().forward(x).sum(), x)
        return slope


class Counting(Plain):
    """Changes an attribute, its input and a list of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0
        self.seen: list[int] = []

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        self.seen.append(self.calls)
        x.mul_(1.5)
        return super().forward(x)


class NoEval(Plain):
    """Raises in eval under no_grad alone."""

    def forward(self, x: Tensor) -> Tensor:
        if not self.training and not torch.is_grad_enabled() and not torch.is_inference_mode_enabled():
            raise ValueError("not this way")
        return super().forward(x)


class Never(Plain):
    """Raises in eval, whatever the grad mode."""

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            raise ValueError("never in eval")
        return super().forward(x)


class Slow(Plain):
    """Takes a while."""

    def __init__(self, seconds: float = 0.3) -> None:
        super().__init__()
        self.seconds = seconds

    def forward(self, x: Tensor) -> Tensor:
        time.sleep(self.seconds)
        return super().forward(x)


class Greedy(Plain):
    """Asks for more memory than there is, in train mode."""

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            torch.empty(1 << 60, dtype=torch.uint8)
        return super().forward(x)


class Dying(Plain):
    """Takes the process with it, in train mode under inference_mode."""

    def forward(self, x: Tensor) -> Tensor:
        if self.training and torch.is_inference_mode_enabled():
            os.abort()
        return super().forward(x)


class Big(nn.Module):
    """A peak and saved bytes that can be told in advance: two activations of rows × 1024 float32."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(10, 1024)

    def forward(self, x: Tensor) -> Tensor:
        return torch.tanh(self.fc(x)).exp().sum(1)


class Forty(nn.Module):
    """Forty MiB that are gone again when forward returns."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        big = torch.ones(10 << 20)
        return self.fc(x) + big.sum() * 0
