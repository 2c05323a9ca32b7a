"""Models for the tests of checks and noise: one behaviour each. Loaded by path, as a user's file would be."""

from __future__ import annotations

import random
import sys
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

KEPT: list[torch.Tensor] = []


class Healthy(nn.Module):
    """Linear, batch norm, dropout: right in eval, moody in train."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(6, 16)
        self.norm = nn.BatchNorm1d(16)
        self.drop = nn.Dropout(0.5)
        self.last = nn.Linear(16, 4)

    def forward(self, x: torch.Tensor) -> Any:
        return self.last(self.drop(F.relu(self.norm(self.first(x)))))


class Plain(nn.Module):
    """A linear layer, and whatever `act` does with its answer."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(6, 4)
        self.register_buffer("count", torch.zeros(1))
        self.seen: list[torch.Tensor] = []

    def forward(self, x: torch.Tensor) -> Any:
        return self.act(self.linear(x), x)

    def act(self, y: torch.Tensor, x: torch.Tensor) -> Any:
        return y


class FunctionalDropout(Plain):
    def act(self, y: torch.Tensor, x: torch.Tensor) -> Any:
        return F.dropout(y, 0.5)


class PythonRandom(Plain):
    def act(self, y: torch.Tensor, x: torch.Tensor) -> Any:
        return y * random.random()


class Counting(Plain):
    """A buffer that moves in place, and one that is bound anew."""

    def act(self, y: torch.Tensor, x: torch.Tensor) -> Any:
        self.count += 1
        return y + self.count


class Rebinding(Plain):
    def act(self, y: torch.Tensor, x: torch.Tensor) -> Any:
        self.count = self.count + 1
        return y


class Overflowing(Plain):
    """Infinite for some inputs only."""

    def act(self, y: torch.Tensor, x: torch.Tensor) -> Any:
        return torch.log(F.relu(y))


class Coupled(Plain):
    def act(self, y: torch.Tensor, x: torch.Tensor) -> Any:
        return y - y.mean(0)


class FiveOnly(Plain):
    def act(self, y: torch.Tensor, x: torch.Tensor) -> Any:
        return y.reshape(5, 4)


class Graphic(Plain):
    def forward(self, x: torch.Tensor) -> Any:
        with torch.enable_grad():
            return self.linear(x)


class Hoarding(Plain):
    def act(self, y: torch.Tensor, x: torch.Tensor) -> Any:
        self.seen.append(torch.zeros(500))
        return y


class GlobalHoard(Plain):
    def act(self, y: torch.Tensor, x: torch.Tensor) -> Any:
        KEPT.append(torch.zeros(777))
        return y


class Forgetful(Plain):
    """Answers depend on an attribute that no state_dict has."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("shift", torch.randn(4), persistent=False)

    def act(self, y: torch.Tensor, x: torch.Tensor) -> Any:
        return y + self.shift


class Mutating(Plain):
    """Writes into everything it can reach."""

    def act(self, y: torch.Tensor, x: torch.Tensor) -> Any:
        with torch.no_grad():
            self.linear.weight.mul_(1.5)
            self.linear.bias.data = torch.zeros(4)
        self.linear.weight.requires_grad_(False)
        self.register_buffer("extra", torch.ones(1), persistent=False)
        self.note = "new"
        self.linear.eval()
        self.seen.append(y)
        x.add_(1)
        torch.manual_seed(99)
        random.seed(99)
        torch.set_num_threads(1)
        return y


class Raising(Plain):
    def act(self, y: torch.Tensor, x: torch.Tensor) -> Any:
        return y @ torch.zeros(7, 7)


class Leaving(Plain):
    def act(self, y: torch.Tensor, x: torch.Tensor) -> Any:
        sys.exit(3)


class SecondTime(Plain):
    """Raises from the second run on."""

    def act(self, y: torch.Tensor, x: torch.Tensor) -> Any:
        self.count += 1
        if self.count > 1:
            raise ValueError("once only")
        return y


class Wordy(Plain):
    def act(self, y: torch.Tensor, x: torch.Tensor) -> Any:
        return "no tensor"


class Sequential(nn.Module):
    """Time first, as torch's recurrent layers take it."""

    def __init__(self) -> None:
        super().__init__()
        self.gru = nn.GRU(6, 4)

    def forward(self, x: torch.Tensor) -> Any:
        return self.gru(x)


class Remembering(Plain):
    """Adds what it answered last time."""

    def act(self, y: torch.Tensor, x: torch.Tensor) -> Any:
        state = getattr(self, "state", None)
        self.state = y if state is None or state.shape != y.shape else y + state
        return self.state


def quantised() -> nn.Module:
    return torch.ao.quantization.quantize_dynamic(Healthy(), {nn.Linear})  # type: ignore


class Cache:
    """Nothing that could be looked into."""


class Opaque(Plain):
    """A tensor, and what nobody can compare."""

    def act(self, y: torch.Tensor, x: torch.Tensor) -> Any:
        return {"y": y, "cache": Cache(), "layout": y.to("cpu", torch.float32).contiguous().to_mkldnn()}


class OpaqueMoody(Plain):
    def act(self, y: torch.Tensor, x: torch.Tensor) -> Any:
        return {"y": F.dropout(y, 0.5), "cache": Cache()}


class SparseRows(Plain):
    def act(self, y: torch.Tensor, x: torch.Tensor) -> Any:
        return y.relu().to_sparse()


class SparseCoupled(Plain):
    def act(self, y: torch.Tensor, x: torch.Tensor) -> Any:
        return (y - y.mean(0)).to_sparse()


class SparseMoody(Plain):
    """Another sparse answer in every run."""

    calls = 0

    def act(self, y: torch.Tensor, x: torch.Tensor) -> Any:
        self.calls += 1
        return (y * self.calls).to_sparse()


class SparseNan(Plain):
    def act(self, y: torch.Tensor, x: torch.Tensor) -> Any:
        return (y / 0.0 * 0.0).to_sparse()


class Scored(Plain):
    """A number of Python's that depends on the weights, beside a tensor."""

    def act(self, y: torch.Tensor, x: torch.Tensor) -> Any:
        return {"y": y, "score": 0.1 + float(self.linear.weight.detach().mean())}


class DefaultDouble(Plain):
    """Leaves another default dtype behind, in which every layer would be made that is made after it."""

    def act(self, y: torch.Tensor, x: torch.Tensor) -> Any:
        torch.set_default_dtype(torch.float64)
        return y


class Wide(Plain):
    """Many elements a row, most of them not along the batch."""

    def act(self, y: torch.Tensor, x: torch.Tensor) -> Any:
        return y[:, :, None].expand(-1, -1, 101) + torch.arange(101, device=y.device, dtype=y.dtype)


class WideCoupled(Plain):
    def act(self, y: torch.Tensor, x: torch.Tensor) -> Any:
        return (y - y.mean(0))[:, :, None].expand(-1, -1, 101) * 1.0


class Holder:
    def __init__(self, t: torch.Tensor) -> None:
        self.t = t


class GraphWithin(Plain):
    def act(self, y: torch.Tensor, x: torch.Tensor) -> Any:
        with torch.enable_grad():
            kept = self.linear(x)
        return kept.detach(), Holder(kept)


class OpaqueOnly(Plain):
    def act(self, y: torch.Tensor, x: torch.Tensor) -> Any:
        return Cache()


class Downcasting(Plain):
    def act(self, y: torch.Tensor, x: torch.Tensor) -> Any:
        return torch.softmax(y.to(torch.float32), -1).to(y.dtype)


class HardDtype(Plain):
    def act(self, y: torch.Tensor, x: torch.Tensor) -> Any:
        return y @ torch.ones(4, 2, dtype=torch.float32)


class Whole(Plain):
    def act(self, y: torch.Tensor, x: torch.Tensor) -> Any:
        return {"class": y.argmax(-1), "logits": y, "sum": y.double().sum()}


class EverySeventh(Plain):
    """Another answer at each seventh call, and no other fault."""

    calls = 0

    def act(self, y: torch.Tensor, x: torch.Tensor) -> Any:
        self.calls += 1
        return y * 1.01 if self.calls % 7 == 0 else y
