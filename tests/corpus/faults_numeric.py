"""Seeded faults of numbers: each model beside a twin with the very same parameters, from which it differs a little.

Both are built under one seed, so that their parameters are the same bits; what a class changes comes afterwards.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Twin(nn.Module):
    """The healthy one."""

    eps = 1e-5

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Linear(24, 48)
        self.norm = nn.LayerNorm(48, eps=self.eps)
        self.body = nn.Sequential(nn.Linear(48, 48), nn.GELU(), nn.Linear(48, 48))
        self.head = nn.Linear(48, 10)
        self.spoil()

    @torch.no_grad()
    def spoil(self) -> None:
        """Change the parameters."""

    def forward(self, x: Tensor) -> Tensor:
        x = self.embed(x)
        return self.head(x + self.body(self.norm(x)))


class BiasOff(Twin):
    @torch.no_grad()
    def spoil(self) -> None:
        self.head.bias += 1e-3


class OneBiasOff(Twin):
    @torch.no_grad()
    def spoil(self) -> None:
        self.body[2].bias[7] += 1e-3


class OneWeightOff(Twin):
    @torch.no_grad()
    def spoil(self) -> None:
        self.embed.weight[3, 5] *= 1.001


class StaleLayer(Twin):
    """One layer from an older checkpoint."""

    @torch.no_grad()
    def spoil(self) -> None:
        self.body[0].weight += 1e-4 * torch.randn(48, 48)


class SwappedRows(Twin):
    """Two channels of one layer in the wrong order."""

    @torch.no_grad()
    def spoil(self) -> None:
        self.body[2].weight[[0, 1]] = self.body[2].weight[[1, 0]]
        self.body[2].bias[[0, 1]] = self.body[2].bias[[1, 0]]


class Transposed(Twin):
    @torch.no_grad()
    def spoil(self) -> None:
        self.body[0].weight.copy_(self.body[0].weight.T.clone())


class RoundedWeights(Twin):
    """A trip through bfloat16."""

    @torch.no_grad()
    def spoil(self) -> None:
        self.body.to(torch.bfloat16).to(torch.float32)


class RoundedToHalf(Twin):
    """A trip through float16, of one layer."""

    @torch.no_grad()
    def spoil(self) -> None:
        self.body[0].half().float()


class WrongEps(Twin):
    eps = 1e-3


class SlightlyWrongEps(Twin):
    eps = 1e-6


class RoundedInside(Twin):
    """bfloat16 between two layers, and back."""

    def forward(self, x: Tensor) -> Tensor:
        x = self.embed(x)
        return self.head(x + self.body(self.norm(x).to(torch.bfloat16).to(x.dtype)))


class OtherGelu(Twin):
    """tanh's approximation in the place of the error function."""

    def forward(self, x: Tensor) -> Tensor:
        x = self.embed(x)
        y = self.body[2](F.gelu(self.body[0](self.norm(x)), approximate="tanh"))
        return self.head(x + y)


class OneElement(Twin):
    """One answer of the batch is off by a ten-thousandth."""

    def forward(self, x: Tensor) -> Tensor:
        y = super().forward(x)
        y[1, 3] += 1e-4 * y.abs().mean()
        return y


class NanAtOne(Twin):
    def forward(self, x: Tensor) -> Tensor:
        y = super().forward(x)
        y[0, 2] = torch.nan
        return y


class LostOutput(Twin):
    """One row fewer."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x)[:-1]


class OtherDtype(Twin):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x).double()
