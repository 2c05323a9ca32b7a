"""Seeded faults of what a forward keeps or writes where few look: functools.lru_cache, its own graph, max_norm."""

from __future__ import annotations

import functools

import torch
from torch import Tensor, nn

from tests.corpus.faults import Mid, Net


class CachesTensors(Mid):
    """A tensor is another key each time: nothing is found again, and everything is kept."""

    @functools.cache  # noqa: B019  # fault
    def mixed(self, x: Tensor) -> Tensor:
        return self.mix(x)

    def forward(self, x: Tensor) -> Tensor:
        return self.mixed(x)


class KnownByCache(nn.Module):
    """A caller who fills one tensor again gets the old answer."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(6, 8)

    @functools.lru_cache(maxsize=4)  # noqa: B019  # fault
    def encoded(self, x: Tensor) -> Tensor:
        return self.linear(x)

    def forward(self, x: Tensor) -> Tensor:
        return self.encoded(x).clone()


class ChainsRuns(Mid):
    """The state of the last run, never detached: under grad each run's graph goes back to the first."""

    def __init__(self) -> None:
        super().__init__()
        self.state = torch.zeros(8)

    def forward(self, x: Tensor) -> Tensor:
        y = torch.tanh(self.mix(x) + 1e-6 * self.state)
        self.state = y.mean(0)  # fault
        return y


class TiedRenormed(nn.Module):
    """The head is the embedding, whose rows are shortened when they are first looked up: later answers are others."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(50, 16, max_norm=1.0)

    def forward(self, ids: Tensor) -> Tensor:
        hidden = self.embed(ids).mean(1)  # fault
        return hidden @ self.embed.weight.T


def net(name: str) -> nn.Module:
    return Net(globals()[name]())
