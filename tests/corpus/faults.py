"""Seeded faults of repeatability: what is left in train mode, what draws, what remembers. faults_table.py lists all.

One class a fault; the guilty line is marked. Most are a small net whose `body.mid` has the fault, so that a cause
must name a module below the root.
"""

from __future__ import annotations

import random
import time
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Net(nn.Module):
    """head(body.mid(body.first(x))): `middle` makes the layer with the fault."""

    def __init__(self, middle: nn.Module) -> None:
        super().__init__()
        self.body = nn.Sequential()
        self.body.add_module("first", nn.Linear(6, 8))
        self.body.add_module("mid", middle)
        self.head = nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Any:
        return self.head(self.body(x))


class Mid(nn.Module):
    """The layer that faults are put into."""

    def __init__(self) -> None:
        super().__init__()
        self.mix = nn.Linear(8, 8)


def dropout_left() -> nn.Module:
    """eval() does not reach it: its parent's train() is the user's, and forgets one."""

    class Stubborn(nn.Dropout):
        def train(self, mode: bool = True) -> nn.Dropout:
            return super().train(True)

    return Net(Stubborn(0.5))


class FunctionalDropout(Mid):
    def forward(self, x: Tensor) -> Tensor:
        return F.dropout(self.mix(x), 0.2, training=True)  # fault


class AttentionDropout(Mid):
    """Attention's own dropout, which has no `training` at all."""

    def forward(self, x: Tensor) -> Tensor:
        q = self.mix(x)[:, None, :]
        q = torch.cat([q, 2 * q, x[:, None, :]], 1)
        return F.scaled_dot_product_attention(q, q, q, dropout_p=0.3)[:, 0]  # fault


class NoiseAdded(Mid):
    def forward(self, x: Tensor) -> Tensor:
        return self.mix(x) + 1e-3 * torch.randn_like(x)  # fault


class PythonRandom(Mid):
    def forward(self, x: Tensor) -> Tensor:
        return self.mix(x) * (1 + 0.01 * random.random())  # fault


class NumpyRandom(Mid):
    def forward(self, x: Tensor) -> Tensor:
        import numpy

        return self.mix(x) * float(1 + 0.01 * numpy.random.rand())  # fault


class OwnGenerator(Mid):
    def __init__(self) -> None:
        super().__init__()
        self.source = torch.Generator().manual_seed(1)

    def forward(self, x: Tensor) -> Tensor:
        return self.mix(x) + 0.01 * torch.randn(x.shape, generator=self.source, dtype=x.dtype)  # fault


class OwnRandom(Mid):
    def __init__(self) -> None:
        super().__init__()
        self.source = random.Random(3)

    def forward(self, x: Tensor) -> Tensor:
        return self.mix(x) + 0.1 * self.source.random()  # fault


class Sampled(Mid):
    """Draws classes, and keeps to them."""

    def forward(self, x: Tensor) -> Tensor:
        chosen = torch.multinomial(self.mix(x).softmax(-1), 1)  # fault
        return x * chosen


class Clock(Mid):
    def forward(self, x: Tensor) -> Tensor:
        return self.mix(x) + (time.perf_counter_ns() % 1000) / 1000  # fault


class Counter(Mid):
    """A number on the module that grows."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1  # fault
        return self.mix(x) * (1 + 0.01 * self.calls)


class Remembers(Mid):
    """A list of what came before."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[Tensor] = []

    def forward(self, x: Tensor) -> Tensor:
        self.seen.append(x.mean())  # fault
        del self.seen[:-4]
        return self.mix(x) + sum(self.seen)


class Rebinds(Mid):
    """The last answer, kept under the same name."""

    def __init__(self) -> None:
        super().__init__()
        self.last = torch.zeros(8)

    def forward(self, x: Tensor) -> Tensor:
        y = self.mix(x) + 0.5 * self.last
        self.last = y.detach().mean(0)  # fault
        return y


class WritesData(Mid):
    """A parameter that is written by forward, past autograd's eyes."""

    def forward(self, x: Tensor) -> Tensor:
        y = self.mix(x)
        self.mix.bias.data += 0.01  # fault
        return y


class CacheNotReset(Mid):
    """A key cache that goes on where the last call ended."""

    def __init__(self) -> None:
        super().__init__()
        self.keys: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        self.keys = x if self.keys is None else torch.cat([self.keys, x])[-32:]  # fault
        scores = (self.mix(x) @ self.keys.T).softmax(-1)
        return scores @ self.keys


class MemoByShape(Mid):
    """Keeps by shape what depends on the values: the first answer of each shape is given for ever."""

    def __init__(self) -> None:
        super().__init__()
        self.memo: dict[torch.Size, Tensor] = {}

    def forward(self, x: Tensor) -> Tensor:
        if x.shape not in self.memo:
            self.memo[x.shape] = self.mix(x)  # fault
        return self.memo[x.shape]


class ClassState(Mid):
    """State on the class, which no instance shows."""

    total = 0.0

    def forward(self, x: Tensor) -> Tensor:
        ClassState.total += 0.01  # fault
        return self.mix(x) + ClassState.total


class BufferInPlace(Mid):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("steps", torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        self.steps += 1  # fault
        return self.mix(x)


class BufferRebound(Mid):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("average", torch.zeros(8))

    def forward(self, x: Tensor) -> Tensor:
        self.average = 0.9 * self.average + 0.1 * x.detach().mean(0)  # fault
        return self.mix(x)


class BufferData(Mid):
    """Written through `.data`, which counts no version."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("average", torch.zeros(8))

    def forward(self, x: Tensor) -> Tensor:
        self.average.data.mul_(0.9).add_(0.1)  # fault
        return self.mix(x)


class StatisticsInEval(Mid):
    """Batch norm that is told to train whatever the mode."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(8))
        self.register_buffer("var", torch.ones(8))

    def forward(self, x: Tensor) -> Tensor:
        return F.batch_norm(self.mix(x), self.mean, self.var, training=True)  # fault


class InputInPlace(nn.Module):
    """Normalises the caller's own tensor."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        x.sub_(x.mean(1, keepdim=True))  # fault
        return self.linear(x)


class InputWrittenAtPlace(nn.Module):
    """Fills what is missing, in the caller's tensor."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        x[:, 0] = 1.0  # fault
        return self.linear(x)


class BatchNormTraining(nn.Module):
    """Never put in eval."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.norm, self.last = nn.Linear(6, 8), nn.BatchNorm1d(8), nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.norm(self.first(x)))


class DropoutTraining(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.drop, self.last = nn.Linear(6, 8), nn.Dropout(0.5), nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.drop(self.first(x)))


class RecurrentDropoutTraining(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.rnn = nn.GRU(6, 8, num_layers=2, dropout=0.4, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.rnn(x[:, None])[0]


class EvalReturnsNothing(nn.Module):
    """A train() of its own that forgets what is below it."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(6, 8), nn.Dropout(0.4), nn.Linear(8, 4))

    def train(self, mode: bool = True) -> nn.Module:
        self.training = mode
        return self

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x)


def net(name: str) -> nn.Module:
    """The small net with the layer of that name in its middle."""
    return Net(globals()[name]())


class SeldomCounter(Mid):
    """Acts at every 7th call."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        return self.mix(x) + (0.5 if self.calls % 7 == 0 else 0.0)


class RareCounter(Mid):
    """Acts at every 120th call, by a buffer."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("steps", torch.zeros((), dtype=torch.long))

    def forward(self, x: Tensor) -> Tensor:
        self.steps += 1
        return self.mix(x) * (1 + 0.1 * (self.steps % 120 == 0))


class NewGlobal(Mid):
    def forward(self, x: Tensor) -> Tensor:
        global _FIRST
        try:
            first = _FIRST
        except NameError:
            first = _FIRST = x.mean()
        return self.mix(x) + first


class OnAFunction(Mid):
    def forward(self, x: Tensor) -> Tensor:
        if not hasattr(OnAFunction.forward, "first"):
            OnAFunction.forward.first = x.mean()  # type: ignore[attr-defined]
        return self.mix(x) + OnAFunction.forward.first  # type: ignore[attr-defined]


class SetsPrecision(Mid):
    def forward(self, x: Tensor) -> Tensor:
        torch.set_float32_matmul_precision("high")
        return self.mix(x)


class NeverWritten(Mid):
    """The last column is whatever lay in memory."""

    def forward(self, x: Tensor) -> Tensor:
        y = torch.empty_like(x)  # fault
        y[:, :7] = self.mix(x)[:, :7]
        return y


class AsksThreads(Mid):
    def forward(self, x: Tensor) -> Tensor:
        return self.mix(x) * (1 + 0.1 * torch.get_num_threads())  # fault


class GrowingCache(Mid):
    """Keys of every call are kept, one after the other, in one tensor."""

    def __init__(self) -> None:
        super().__init__()
        self.past: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        key = self.mix(x)[:, None]
        self.past = key if self.past is None else torch.cat([self.past, key], 1)  # fault
        weight = (self.past * key).sum(-1, keepdim=True).softmax(1)
        return (weight * self.past).sum(1)
