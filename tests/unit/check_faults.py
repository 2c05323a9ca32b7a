"""One fault each, for the tests of checks; loaded by path, as a user's file would be."""

from __future__ import annotations

import functools
import threading
import time
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F


class Base(nn.Module):
    """A linear layer, and whatever `act` does."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(6, 4)

    def forward(self, x: torch.Tensor) -> Any:
        return self.act(self.linear(x), x)

    def act(self, y: torch.Tensor, x: torch.Tensor) -> Any:
        return y


class FirstCache(Base):
    """Keeps what the first input was."""

    def __init__(self) -> None:
        super().__init__()
        self.mean: torch.Tensor | None = None

    def act(self, y: torch.Tensor, x: torch.Tensor) -> Any:
        if self.mean is None:
            self.mean = x.mean()
        return y + self.mean


class Blends(Base):
    """Blends in its last answer."""

    def __init__(self) -> None:
        super().__init__()
        self.last: torch.Tensor | None = None

    def act(self, y: torch.Tensor, x: torch.Tensor) -> Any:
        if self.last is not None and self.last.shape == y.shape:
            y = y + 0.1 * self.last
        self.last = y.detach()
        return y


class Scales(Base):
    def forward(self, x: torch.Tensor) -> Any:
        return self.linear(x.mul_(2))


class ZeroesAView(Base):
    def forward(self, x: torch.Tensor) -> Any:
        x[:, 0] = 0
        return self.linear(x)


class WritesTheSame(Base):
    def forward(self, x: torch.Tensor) -> Any:
        return self.linear(x.add_(0))


class NanWeight(Base):
    def __init__(self) -> None:
        super().__init__()
        self.linear.weight.data[1, 2] = float("nan")


class InfiniteVariance(Base):
    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(4)
        self.norm.running_var[0] = float("inf")

    def act(self, y: torch.Tensor, x: torch.Tensor) -> Any:
        return self.norm(y)


class InfiniteScale(Base):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("scale", torch.tensor([1.0, float("inf"), 1.0, 1.0]))

    def act(self, y: torch.Tensor, x: torch.Tensor) -> Any:
        return y * self.scale


class NoSingle(Base):
    """Raises for one row."""

    def act(self, y: torch.Tensor, x: torch.Tensor) -> Any:
        return y.squeeze(0).reshape(x.shape[0], 4) if x.shape[0] > 1 else y.squeeze().expand(2, 4, 4)[5]


class BySize(Base):
    def act(self, y: torch.Tensor, x: torch.Tensor) -> Any:
        return y / x.shape[0]


class DoubleBuffer(Base):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("scale", torch.ones(4, dtype=torch.float64))

    def act(self, y: torch.Tensor, x: torch.Tensor) -> Any:
        return y * self.scale


class DoubleBufferHidden(DoubleBuffer):
    def act(self, y: torch.Tensor, x: torch.Tensor) -> Any:
        return (y * self.scale).float()


class FixedDevice(Base):
    def act(self, y: torch.Tensor, x: torch.Tensor) -> Any:
        return y + torch.ones(4, device="cpu")


class DefaultDevice(Base):
    def act(self, y: torch.Tensor, x: torch.Tensor) -> Any:
        return y + torch.arange(4.0)


class Shares(Base):
    """Hands its input over on an attribute."""

    def forward(self, x: torch.Tensor) -> Any:
        self.scratch = x
        for _ in range(20):
            torch.ones(8).sum()
        return self.linear(self.scratch)


class Deadlocks(Base):
    """Waits for a second caller that waits for it."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = [0]

    def act(self, y: torch.Tensor, x: torch.Tensor) -> Any:
        if threading.current_thread() is not threading.main_thread():
            while True:
                time.sleep(0.05)
        return y


class LeaksInClosure(Base):
    def __init__(self) -> None:
        super().__init__()
        kept: list[torch.Tensor] = []
        self.keep = kept.append  # a bound method: no container of the module's

    def act(self, y: torch.Tensor, x: torch.Tensor) -> Any:
        self.keep(torch.zeros(701))
        return y


@functools.cache
def table(key: float) -> torch.Tensor:
    return torch.zeros(907)


class LeaksInCache(Base):
    def act(self, y: torch.Tensor, x: torch.Tensor) -> Any:
        table(time.perf_counter())
        return y


class Shortens(nn.Module):
    """max_norm writes into the weight, and no answer changes for it."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.head = nn.Embedding(50, 8, max_norm=1.0), nn.Linear(8, 4)

    def forward(self, ids: torch.Tensor) -> Any:
        return self.head(self.embed(ids))


class Slow(Base):
    def act(self, y: torch.Tensor, x: torch.Tensor) -> Any:
        time.sleep(0.4)
        return y


class Vast(Base):
    def act(self, y: torch.Tensor, x: torch.Tensor) -> Any:
        return y.mean().expand(1_000_000_000)


class VastMoody(Base):
    def act(self, y: torch.Tensor, x: torch.Tensor) -> Any:
        return F.dropout(y, 0.5).mean().expand(1_000_000_000)


class ChangingTree(Base):
    def __init__(self) -> None:
        super().__init__()
        self.turn = 0

    def act(self, y: torch.Tensor, x: torch.Tensor) -> Any:
        self.turn += 1
        return {"y": y} if self.turn % 2 else {"y": y, "more": y}


class Yields(Base):
    def forward(self, x: torch.Tensor) -> Any:
        yield self.linear(x)


class LogOf(Base):
    """Right for positive inputs alone."""

    def act(self, y: torch.Tensor, x: torch.Tensor) -> Any:
        return y + x.log().sum(-1, keepdim=True)


class Noisy(Base):
    def act(self, y: torch.Tensor, x: torch.Tensor) -> Any:
        return y + torch.randn_like(y)


class LazyBuffer(Base):
    """Registers a buffer in its first forward."""

    def act(self, y: torch.Tensor, x: torch.Tensor) -> Any:
        if not hasattr(self, "once"):
            self.register_buffer("once", torch.ones(4))
        return y + self.once


class WritesBoth(nn.Module):
    """Writes into both of its inputs."""

    def forward(self, x: torch.Tensor, y: torch.Tensor) -> Any:
        return x.mul_(2) + y.mul_(3)


class WritesData(Base):
    """Moves a weight in a way that no version shows."""

    def act(self, y: torch.Tensor, x: torch.Tensor) -> Any:
        self.linear.weight.data.mul_(0.999)
        return y


class Coupled(Base):
    def act(self, y: torch.Tensor, x: torch.Tensor) -> Any:
        return y - y.mean(0)


class Picks(Base):
    """An arg-max that flips now and then."""

    def __init__(self) -> None:
        super().__init__()
        self.turn = 0

    def act(self, y: torch.Tensor, x: torch.Tensor) -> Any:
        self.turn += 1
        picked = y.argmax(-1)
        if self.turn % 2:
            picked = picked.clone()
            picked[0] = (picked[0] + 1) % 4
        return {"class": picked, "logits": y}


class Once(Base):
    """Raises from the second run on."""

    def __init__(self) -> None:
        super().__init__()
        self.turn = 0

    def act(self, y: torch.Tensor, x: torch.Tensor) -> Any:
        self.turn += 1
        if self.turn > 1:
            raise ValueError("once only")
        return y


class VastNan(Base):
    """One NaN in 20 million elements, at a place between those that are compared."""

    def act(self, y: torch.Tensor, x: torch.Tensor) -> Any:
        whole = torch.zeros(2, 512, 20_000)
        whole[0, 1, 1] = torch.log(-y.abs().sum() - 1)
        return whole


class AddsNeighbour(Base):
    """Writes the row before into each row, through a view."""

    def act(self, y: torch.Tensor, x: torch.Tensor) -> Any:
        y = y.clone()
        y[1:] += 0.1 * x[:-1, :4]
        return y


class DividesBySize(Base):
    """Scales by how many rows there are."""

    def act(self, y: torch.Tensor, x: torch.Tensor) -> Any:
        return y / x.size(0)


class KeepsBatch(Base):
    """Refuses a batch of another size than the one before."""

    def __init__(self) -> None:
        super().__init__()
        self.former: torch.Tensor | None = None

    def act(self, y: torch.Tensor, x: torch.Tensor) -> Any:
        mixed = y if self.former is None else y + 0.0 * self.former
        self.former = y
        return mixed


class NewVariable(Base):
    """Its memory is a variable of the file, made by the first call."""

    def act(self, y: torch.Tensor, x: torch.Tensor) -> Any:
        global _REMEMBERED
        try:
            return y + _REMEMBERED
        except NameError:
            _REMEMBERED = x.mean()
        return y + _REMEMBERED


class OnTheFunction(Base):
    def act(self, y: torch.Tensor, x: torch.Tensor) -> Any:
        if not hasattr(OnTheFunction.act, "mean"):
            OnTheFunction.act.mean = x.mean()  # type: ignore[attr-defined]
        return y + OnTheFunction.act.mean  # type: ignore[attr-defined]


def _remembered(x: torch.Tensor) -> Any:
    if not hasattr(_remembered, "mean"):
        _remembered.mean = x.mean()  # type: ignore[attr-defined]
    return _remembered.mean  # type: ignore[attr-defined]


class OnAHelper(Base):
    def act(self, y: torch.Tensor, x: torch.Tensor) -> Any:
        return y + _remembered(x)


class OnTheClass(Base):
    def act(self, y: torch.Tensor, x: torch.Tensor) -> Any:
        if not hasattr(type(self), "mean"):
            type(self).mean = x.mean()  # type: ignore[attr-defined]
        return y + type(self).mean  # type: ignore[attr-defined]


class Seldom(Base):
    """Counts, and answers otherwise at every `period`-th call."""

    period = 50

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    def act(self, y: torch.Tensor, x: torch.Tensor) -> Any:
        self.calls += 1
        return y + (self.calls % self.period == 0)


class Hardly(Seldom):
    period = 1000


class SetsPrecision(Base):
    def act(self, y: torch.Tensor, x: torch.Tensor) -> Any:
        torch.set_float32_matmul_precision("high")
        return y


class Unwritten(Base):
    """The last column is whatever lay in memory; how that memory is asked for is said by `made`."""

    def act(self, y: torch.Tensor, x: torch.Tensor) -> Any:
        out = self.made(y)
        out[:, :3] = y[:, :3]
        return out

    def made(self, y: torch.Tensor) -> torch.Tensor:
        return torch.empty(y.shape)


class UnwrittenNew(Unwritten):
    def made(self, y: torch.Tensor) -> torch.Tensor:
        return y.new_empty(y.shape)


class UnwrittenStrided(Unwritten):
    def made(self, y: torch.Tensor) -> torch.Tensor:
        return torch.empty_strided(y.shape, (1, y.shape[0]))


class UnwrittenInStep(Unwritten):
    """One of two places is written whole."""

    def made(self, y: torch.Tensor) -> torch.Tensor:
        whole = torch.empty_like(y)
        whole.copy_(y)
        return torch.empty_like(whole)


class WrittenLater(Base):
    """Asks for memory, and writes or ignores all of it."""

    def act(self, y: torch.Tensor, x: torch.Tensor) -> Any:
        out = torch.empty_like(y)
        torch.mul(y, 2, out=out)
        blank = torch.empty(1, y.shape[0], y.shape[0])
        return torch.baddbmm(blank, out[None], out.t()[None], beta=0)[0]


class ByThreads(Base):
    def act(self, y: torch.Tensor, x: torch.Tensor) -> Any:
        return y * torch.get_num_threads()


class Asleep(Base):
    """Takes much longer in a thread of its own, and writes on the model when it wakes."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    def act(self, y: torch.Tensor, x: torch.Tensor) -> Any:
        if threading.current_thread() is not threading.main_thread():
            time.sleep(2.5)
        self.calls = self.calls + 1
        return y


class Grows(Base):
    """Keeps every call's rows in one tensor; only batches of one size go together."""

    def __init__(self) -> None:
        super().__init__()
        self.past: torch.Tensor | None = None

    def act(self, y: torch.Tensor, x: torch.Tensor) -> Any:
        self.past = y[:, None] if self.past is None else torch.cat([self.past, y[:, None]], 1)
        return y + self.past.mean(1)


class HalfInside(Base):
    def act(self, y: torch.Tensor, x: torch.Tensor) -> Any:
        return y.half().tanh().float()


class SwapsBatch(Base):
    def act(self, y: torch.Tensor, x: torch.Tensor) -> Any:
        return y.t()


class CameApart(nn.Module):
    """What was tied to a weight by value is hidden in a list, and built anew by every construction."""

    def __init__(self) -> None:
        super().__init__()
        self.enc = nn.Linear(6, 6, bias=False)
        self._dec = self.enc.weight.detach().clone()
        self._more = [nn.Linear(6, 6, bias=False)]

    def forward(self, x: torch.Tensor) -> Any:
        return self._more[0](self.enc(x) @ self._dec)


class AllPadding(nn.Module):
    """Divides by the number of tokens that are no padding: nothing but padding is no input of a healthy model."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(10, 8)

    def forward(self, ids: torch.Tensor) -> Any:
        keep = (ids != 0).unsqueeze(-1)
        return (self.embed(ids) * keep).sum(1) / keep.sum(1)
