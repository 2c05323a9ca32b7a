"""Seeded faults of modes that eval() cannot cure: a forward that calls train(), a train() that forgets a child."""

from __future__ import annotations

from torch import Tensor, nn

from tests.corpus.faults import Mid, Net


class WithDrop(Mid):
    def __init__(self) -> None:
        super().__init__()
        self.drop = nn.Dropout(0.3)


class DropTrains(WithDrop):
    """Monte Carlo dropout, left in from an experiment."""

    def forward(self, x: Tensor) -> Tensor:
        self.drop.train()  # fault
        return self.drop(self.mix(x))


class FlagSet(WithDrop):
    """The flag itself, and put back afterwards."""

    def forward(self, x: Tensor) -> Tensor:
        self.drop.training = True  # fault
        y = self.drop(self.mix(x))
        self.drop.training = False
        return y


class NormTrains(Mid):
    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(8)

    def forward(self, x: Tensor) -> Tensor:
        self.norm.train()  # fault
        return self.norm(self.mix(x))


class TrainsItself(WithDrop):
    """By a train() of its own."""

    def train(self, mode: bool = True) -> TrainsItself:
        return super().train(mode)

    def forward(self, x: Tensor) -> Tensor:
        self.train()  # fault
        return self.drop(self.mix(x))


class ForgetsAChild(nn.Module):
    """Whatever is asked, the dropout of `holder` trains."""

    class Holder(WithDrop):
        def train(self, mode: bool = True) -> nn.Module:  # fault
            super().train(mode)
            self.drop.training = True
            return self

        def forward(self, x: Tensor) -> Tensor:
            return self.drop(self.mix(x))

    def __init__(self) -> None:
        super().__init__()
        self.first, self.holder = nn.Linear(6, 8), ForgetsAChild.Holder()

    def forward(self, x: Tensor) -> Tensor:
        return self.holder(self.first(x))


def net(name: str) -> nn.Module:
    return Net(globals()[name]())
