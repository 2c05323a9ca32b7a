"""Models with branches that depend on their input, for what watches and seeks them."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn


def turned(h: Tensor, x: Tensor, limit: float) -> Tensor:
    """A helper outside any class."""
    if x.max() > limit:
        return -h
    return h


class Rare(nn.Module):
    """Two branches, of which ordinary inputs take one side each."""

    def __init__(self, limit: float = 30.0) -> None:
        super().__init__()
        self.fc = nn.Linear(5, 3)
        self.limit = limit

    def forward(self, x: Tensor) -> Tensor:
        h = self.fc(x)
        if self.training:
            h = h + 0
        if x.sum() > self.limit:
            h = h * 2
        return h


class Peak(nn.Module):
    """A branch in a helper, on a single element."""

    def __init__(self, limit: float = 100.0) -> None:
        super().__init__()
        self.fc = nn.Linear(5, 3)
        self.limit = limit

    def forward(self, x: Tensor) -> Tensor:
        return turned(self.fc(x), x, self.limit)


class Deep(nn.Module):
    """A branch on what a layer answers, tested by a name and behind `super()`."""

    def __init__(self, limit: float = 40.0) -> None:
        super().__init__()
        self.fc = nn.Linear(5, 3)
        self.limit = limit

    def extra_repr(self) -> str:
        return super().extra_repr()

    def forward(self, x: Tensor) -> Tensor:
        super().train(self.training)
        h = self.fc(x)
        flag = (h > self.limit).any()
        if flag:
            h = torch.clamp(h, max=self.limit) - 1
        return h


class Odd(nn.Module):
    """A size that no usual case has."""

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[0] == 13:
            return x * 3
        return x * 2


class Reads(nn.Module):
    """Ids whose largest value decides."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(1000, 4)

    def forward(self, ids: Tensor) -> Tensor:
        h = self.embed(ids).mean(1)
        if (ids == 999).all():
            return h * 0
        return h


class Private(nn.Module):
    """A limit whose name is the class's own, and a branch in a function that forward makes."""

    def __init__(self, limit: float = 30.0, other: float = 1e30) -> None:
        super().__init__()
        self.fc = nn.Linear(5, 3)
        self.__limit, self.other = limit, other

    def forward(self, x: Tensor) -> Tensor:
        def turned_here(h: Tensor) -> Tensor:
            if x.sum() > self.other:
                h = -h
            return h

        h = self.fc(x)
        if x.sum() > self.__limit:
            h = h * 2
        return turned_here(h)


class Generated(nn.Module):
    """A branch in a generator."""

    def __init__(self, limit: float = 30.0) -> None:
        super().__init__()
        self.fc = nn.Linear(5, 3)
        self.limit = limit

    def steps(self, x: Tensor) -> Iterator[Tensor]:
        yield self.fc(x)
        if x.sum() > self.limit:
            yield self.fc(x)

    def forward(self, x: Tensor) -> Tensor:
        return torch.stack(list(self.steps(x))).sum(0)


class Unwatched(nn.Module):
    """A branch in code without a file of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(5, 3)
        self.turn = lambda h, x: -h if x.sum() > 50_000 else h

    def forward(self, x: Tensor) -> Tensor:
        return self.turn(self.fc(x), x)


class Healthy(nn.Module):
    """The same on both sides of everything: nothing to be found."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(5, 32), nn.GELU(), nn.LayerNorm(32), nn.Linear(32, 1))

    def forward(self, x: Tensor) -> Tensor:
        return torch.where(x.sum() > 30, self.body(x), self.body(x) + 1)


class Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(5, 5)

    def forward(self, x: Tensor) -> Tensor:
        return x + torch.tanh(self.fc(x))


class Stack(nn.Module):
    """Three of one class, one after the other."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.Sequential(*(Residual() for _ in range(3)))

    def forward(self, x: Tensor) -> Tensor:
        y = x * 2
        return self.blocks(y)


class Steep(nn.Module):
    """Makes much of a small difference."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(5, 5)

    def forward(self, x: Tensor) -> Tensor:
        small = self.fc(x)
        return torch.exp(small * 20)


class Simplified(nn.Module):
    """Leaves something out where it is exported."""

    def forward(self, x: Tensor) -> Tensor:
        y = x * 2
        if not torch.compiler.is_exporting():
            y = y + x.sign()
        return y - 1


class Normed(nn.Module):
    """Norms whose operators answer with more than one tensor."""

    def __init__(self) -> None:
        super().__init__()
        self.batch, self.layer, self.head = nn.BatchNorm1d(5), nn.LayerNorm(5), nn.Linear(5, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        scaled = self.batch(x)
        even = self.layer(scaled)
        return self.head(even)


class Guarded(nn.Module):
    """Refuses large elements."""

    def __init__(self, limit: float = 100.0) -> None:
        super().__init__()
        self.fc = nn.Linear(5, 3)
        self.limit = limit

    def forward(self, x: Tensor) -> Tensor:
        if x.abs().max() > self.limit:
            raise ValueError("out of range")
        return self.fc(x)


class Band(nn.Module):
    """A far branch that changes nothing, and a nearer one that inputs on their way to it pass through."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(5, 3)

    def forward(self, x: Tensor) -> Tensor:
        y = self.fc(x)
        if x.sum() > 4e9:
            y = y + 0.0
        if 1e5 < x.sum() < 1e9:
            y = y * 2
        return y


class Strict(nn.Module):
    """Its rare side runs in float32 alone, and says so."""

    def __init__(self, limit: float = 50_000.0) -> None:
        super().__init__()
        self.fc = nn.Linear(5, 3)
        self.limit = limit

    def forward(self, x: Tensor) -> Tensor:
        h = self.fc(x)
        if x.sum() > self.limit:
            assert x.dtype == torch.float32, "float32 only"
            h = h * 2
        return h
