"""Models that a person might bring, each with one thing wrong with it."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Plain(nn.Module):
    """Nothing wrong: the model that must stay on the bench."""

    def __init__(self, width: int = 4) -> None:
        super().__init__()
        self.fc = nn.Linear(10, width)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(x)


class WantsArguments(nn.Module):
    def __init__(self, width: int, depth: int = 2) -> None:
        super().__init__()
        self.fc = nn.Linear(width, depth)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(x)


class ConstructorRaises(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        raise ValueError("no such preset: \x1b[31mtiny")


class NoTensor(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(10, 4)

    def forward(self, x: Tensor) -> str:
        return "not a tensor"


class TwoArguments(nn.Module):
    def forward(self, x: Tensor, scale: Tensor) -> Tensor:
        return x * scale


class Conv(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x)


class OutOfMemory(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.empty(2**60, dtype=torch.int8)


class Exits(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        raise SystemExit(3)


class SecondRunRaises(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.runs = 0

    def forward(self, x: Tensor) -> Tensor:
        self.runs += 1
        if self.runs == 2:
            raise RuntimeError("the second run fails")
        return x + 1


class Stops(nn.Module):
    """A forward that would wait for a debugger."""

    def forward(self, x: Tensor) -> Tensor:
        breakpoint()
        return x + 1


def factory() -> nn.Module:
    return Plain(3)


def not_a_module() -> int:
    return 3


instance = Plain(5)
number = 7
