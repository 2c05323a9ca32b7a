"""Small models, each with one real fault that makes two runs of one input part. The guilty line ends with "guilty"."""

from __future__ import annotations

import itertools
import os
import random
import time

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

CALLS = 0
SEEN: list[int] = []
OWN = torch.Generator().manual_seed(5)
DICE = random.Random(6)


class Fault(nn.Module):
    """What lies between the two linear layers of `Whole`."""

    def __init__(self) -> None:
        super().__init__()
        self.setup()

    def setup(self) -> None:
        """What it holds."""


class Whole(nn.Module):
    """A linear layer before and after the fault."""

    def __init__(self, fault: type[nn.Module]) -> None:
        super().__init__()
        self.before, self.part, self.after = nn.Linear(10, 12), fault(), nn.Linear(12, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.after(self.part(self.before(x).relu()))


class FunctionalDropout(Fault):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.dropout(x, 0.3)  # guilty


class FunctionalAlphaDropout(Fault):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.alpha_dropout(x, 0.3, training=True)  # guilty


class OwnMask(Fault):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        mask = torch.bernoulli(torch.full_like(x, 0.5))  # guilty
        return x * mask


class TorchNoise(Fault):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        noise = torch.randn_like(x)  # guilty
        return x + 0.1 * noise


class PythonRandom(Fault):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * random.random()  # guilty


class NumpyRandom(Fault):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + torch.from_numpy(np.random.rand(12).astype("float32"))  # guilty


class TorchGenerator(Fault):
    def setup(self) -> None:
        self.own = torch.Generator().manual_seed(1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + torch.rand(12, generator=self.own)  # guilty


class GlobalTorchGenerator(Fault):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + torch.rand(12, generator=OWN)  # guilty


class PythonGenerator(Fault):
    def setup(self) -> None:
        self.dice = random.Random(2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.dice.random()  # guilty


class GlobalPythonGenerator(Fault):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * DICE.random()  # guilty


class NumpyGenerator(Fault):
    def setup(self) -> None:
        self.rng = np.random.default_rng(3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * float(self.rng.random())  # guilty


class BufferCounter(Fault):
    def setup(self) -> None:
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.calls += 1  # guilty
        return x + self.calls


class Counter(Fault):
    def setup(self) -> None:
        self.calls, self.unused = 0, 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.unused += 1
        self.calls += 1
        return x + 0.1 * self.calls  # guilty


class ListCache(Fault):
    def setup(self) -> None:
        self.history: list[torch.Tensor] = []

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.history.append(x.detach())
        return torch.stack(self.history).sum(0)  # guilty


class DictCache(Fault):
    def setup(self) -> None:
        self.cache: dict[str, torch.Tensor] = {}

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if "past" in self.cache:
            x = x + self.cache["past"]  # guilty
        self.cache["past"] = x.detach()
        return x


class Rebound(Fault):
    def setup(self) -> None:
        self.state = torch.zeros(12)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.state = 0.5 * self.state + x.detach().mean(0)  # guilty
        return x + self.state


class TensorInPlace(Fault):
    def setup(self) -> None:
        self.total = torch.zeros(12)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.total.data += 1  # guilty
        return x + self.total


class ClassVariable(Fault):
    calls = 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        ClassVariable.calls += 1
        return x + ClassVariable.calls  # guilty


class GlobalVariable(Fault):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        global CALLS
        CALLS += 1
        return x + CALLS  # guilty


class GlobalList(Fault):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        SEEN.append(1)
        return x * len(SEEN)  # guilty


class Memory:
    """A plain object with a number."""

    def __init__(self) -> None:
        self.steps = 0


class InObject(Fault):
    def setup(self) -> None:
        self.memory = Memory()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.memory.steps += 1
        return x - self.memory.steps  # guilty


class AnotherWay(Fault):
    def setup(self) -> None:
        self.odd = False

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.odd = not self.odd
        if self.odd:
            return x.sigmoid()
        return x.tanh()  # guilty


class WeightsMoved(Fault):
    def setup(self) -> None:
        self.scale = nn.Parameter(torch.ones(12))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = x * self.scale  # guilty
        self.scale.data.mul_(1.01)
        return y


class Clock(Fault):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * (time.perf_counter() % 10)  # guilty


class Entropy(Fault):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * (1 + os.urandom(1)[0] + 256 * os.urandom(1)[0])  # guilty


class FirstTime(Fault):
    """A value that the first run sets, and all later ones use."""

    def setup(self) -> None:
        self.cache = None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.cache is None:
            self.cache = x.mean().detach()
            return x
        return x + self.cache  # guilty


class Ticking(Fault):
    """State that cannot be looked into."""

    def setup(self) -> None:
        self.ticks = itertools.count(1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * next(self.ticks)  # guilty


class Restless(Fault):
    """Healthy: it counts, remembers, draws and looks at the clock, and answers the same."""

    def setup(self) -> None:
        self.steps, self.history = 0, []
        self.own = torch.Generator().manual_seed(1)
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.steps += 1
        self.calls += 1
        self.history.append(time.time() + random.random() + float(np.random.rand()))
        torch.rand(2)
        torch.rand(2, generator=self.own)
        self.last = x
        return x


class Norms(nn.Module):
    """Healthy in eval: batch norm, dropout, a transformer layer."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.drop = nn.BatchNorm1d(10), nn.Dropout(0.4)
        self.layer = nn.TransformerEncoderLayer(10, 2, 16, batch_first=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer(self.drop(self.norm(x))[:, None])[:, 0]


class WritesInput(nn.Module):
    """Scales its input in place."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = Scaling(), nn.Linear(10, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.last(self.first(x))


class WritesIntoDict(nn.Module):
    """Takes a batch as a dict, and scales what is in it."""

    def __init__(self) -> None:
        super().__init__()
        self.last = nn.Linear(10, 3)

    def forward(self, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        return self.last(batch["x"].mul_(0.5))


class Scaling(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.mul_(0.5)  # guilty


class WritesWeights(nn.Module):
    """Rescales a weight in place, as spectral tricks do."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(10, 4), nn.Linear(4, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            self.first.weight.mul_(0.99)  # guilty
        return self.last(self.first(x))


class GradBranch(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if torch.is_grad_enabled():
            return x * 2
        return x * 2.001  # guilty


class LongSum(nn.Module):
    """A sum whose order depends on the number of threads."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        long = torch.arange(3_000_000.0).sin() + x.mean()
        return long.sum()  # guilty


class StubbornDropout(nn.Dropout):
    """A dropout that no eval() reaches."""

    def train(self, mode: bool = True) -> StubbornDropout:
        return self
