"""Seeded faults of dtype: models in bfloat16 whose forward leaves it. The guilty line is marked."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.corpus.faults import Mid, Net


class Half(nn.Module):
    """Two linear layers in bfloat16."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(6, 8), nn.Linear(8, 4)
        self.to(torch.bfloat16)


class FloatMiddle(Mid):
    """The layer that follows is given float32, and raises."""

    def forward(self, x: Tensor) -> Tensor:
        return self.mix(x).float()  # fault


class ZerosBeside(Mid):
    """A state made without a dtype: what follows raises."""

    def forward(self, x: Tensor) -> Tensor:
        state = torch.zeros(len(x), 8)  # fault
        return self.mix(x) + state


class ComputesInFloat(Half):
    """Weights and input are converted, and nobody converts back: twice the memory and the time."""

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.first(x)).float()  # fault
        return F.linear(y, self.last.weight.float(), self.last.bias.float())


class FloatFromTheStart(Half):
    def forward(self, x: Tensor) -> Tensor:
        x = x.to(torch.float32)  # fault
        return torch.tanh(x @ self.first.weight.float().t())


class ArangeScale(Half):
    """A division of whole numbers is of torch's default dtype."""

    def forward(self, x: Tensor) -> Tensor:
        y = self.last(F.relu(self.first(x)))
        scale = torch.arange(1, 5) / 4  # fault
        return y * scale


class ZerosFilled(Half):
    """The answers are written into zeros of the default dtype."""

    def forward(self, x: Tensor) -> Tensor:
        out = torch.zeros(len(x), 4)
        out[:, :] = self.last(F.relu(self.first(x)))  # fault
        return out


def net(name: str) -> nn.Module:
    return Net(globals()[name]()).to(torch.bfloat16)
