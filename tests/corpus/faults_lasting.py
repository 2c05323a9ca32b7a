"""Seeded faults of what a forward leaves behind it: grad mode, seeds, layers made, inputs written to."""

from __future__ import annotations

import random

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.corpus.faults import Mid, Net


class GradLeftOn(Mid):
    """Under no_grad the caller has grad on from here."""

    def forward(self, x: Tensor) -> Tensor:
        torch.set_grad_enabled(False)
        y = self.mix(x)
        torch.set_grad_enabled(True)  # fault
        return F.relu(y)


class GradLeftOff(Mid):
    """Seen under grad alone."""

    def forward(self, x: Tensor) -> Tensor:
        with torch.enable_grad():
            y = self.mix(x).detach()
        torch.set_grad_enabled(False)  # fault
        return F.relu(y)


class DecoratedGrad(nn.Module):
    """The line of the decorator is not forward's."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(6, 4)

    @torch.enable_grad()
    def forward(self, x: Tensor) -> Tensor:
        return self.head(x)  # fault


class SeedsTorch(Mid):
    def forward(self, x: Tensor) -> Tensor:
        noise = torch.rand(8)
        torch.manual_seed(0)  # fault
        return self.mix(x) + 0 * noise


class SeedsPython(Mid):
    def forward(self, x: Tensor) -> Tensor:
        random.seed(7)  # fault
        return self.mix(x)


class MakesLayer(Mid):
    """Its sizes are known with the first input, and its numbers then as well."""

    def __init__(self) -> None:
        super().__init__()
        self.more: nn.Module | None = None

    def forward(self, x: Tensor) -> Tensor:
        y = self.mix(x)
        if self.more is None:
            self.more = nn.Linear(y.shape[-1], 8)  # fault
        return self.more(y)


class MaskWritten(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed, self.head = nn.Embedding(50, 8), nn.Linear(8, 4)

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        ids[mask] = 0  # fault
        return self.head(self.embed(ids).mean(1))


def net(name: str) -> nn.Module:
    """The small net with the layer of that name in its middle."""
    return Net(globals()[name]())
