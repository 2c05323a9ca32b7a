"""Seeded faults of answers and of serving: NaN, coupled rows, graphs, leaks, threads, what a reload loses, dtypes."""

from __future__ import annotations

import math
import threading
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.corpus.faults import Mid, Net

KEPT: list[Tensor] = []


class LogOfRelu(Mid):
    def forward(self, x: Tensor) -> Tensor:
        return torch.log(F.relu(self.mix(x)))  # fault


class Overflow(Mid):
    """exp of what is large."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.exp(self.mix(x) * 400) / torch.exp(self.mix(x) * 400).sum(-1, keepdim=True)  # fault


class DividesByNorm(nn.Module):
    """0/0 for an input of zeros, which every padded batch has."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(6, 4, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x / x.norm(dim=-1, keepdim=True))  # fault


class AllMasked(Mid):
    """Softmax over a row that is masked as a whole."""

    def forward(self, x: Tensor) -> Tensor:
        scores = self.mix(x)
        return scores.masked_fill(scores < 0.7, -math.inf).softmax(-1)  # fault


class NanWeight(Mid):
    """A weight that never counts for the answer to ordinary inputs."""

    def __init__(self) -> None:
        super().__init__()
        self.spare = nn.Parameter(torch.full((3,), math.nan))  # fault

    def forward(self, x: Tensor) -> Tensor:
        return self.mix(x)


class NanBuffer(Mid):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("scale", torch.tensor([1.0, math.nan]))  # fault

    def forward(self, x: Tensor) -> Tensor:
        return self.mix(x) * self.scale[0]


class SparseDrift(nn.Module):
    """Its dense answer is right; the sparse one beside it moves on with a count."""

    def __init__(self) -> None:
        super().__init__()
        self.mix, self.calls = nn.Linear(6, 4), 0

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        self.calls += 1  # fault
        y = self.mix(x)
        return y, (y * self.calls).to_sparse()


class Cache:
    """Holds what a language model's cache holds."""

    def __init__(self, keys: Tensor) -> None:
        self.layers = [{"keys": keys}]


class CacheDraws(nn.Module):
    """Its logits are right; the cache beside them is drawn anew in every run."""

    def __init__(self) -> None:
        super().__init__()
        self.mix = nn.Linear(6, 4)

    def forward(self, x: Tensor) -> dict[str, Any]:
        y = self.mix(x)
        return {"logits": y, "cache": Cache(y + torch.rand_like(y))}  # fault


class SparseLog(Mid):
    """NaN and infinity among what a sparse answer stores."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.log(F.relu(self.mix(x))).to_sparse()  # fault


class MeanOverBatch(Mid):
    def forward(self, x: Tensor) -> Tensor:
        y = self.mix(x)
        return y - y.mean(0)  # fault


class SoftmaxOverBatch(Mid):
    def forward(self, x: Tensor) -> Tensor:
        return self.mix(x).softmax(0)  # fault


class BatchScale(Mid):
    """Fake quantisation with one scale for the whole batch."""

    def forward(self, x: Tensor) -> Tensor:
        y = self.mix(x)
        scale = y.abs().max() / 127  # fault
        return (y / scale).round() * scale


class SumOfFormer(Mid):
    """Each row has those before it; the first is right."""

    def forward(self, x: Tensor) -> Tensor:
        return self.mix(x).cumsum(0)  # fault


class NeighbourRow(Mid):
    """Each row leans a little on the one before it."""

    def forward(self, x: Tensor) -> Tensor:
        y = self.mix(x)
        return y + 1e-3 * y.roll(1, 0)  # fault


class NoStatistics(Mid):
    """Batch norm without running statistics: the batch's own, in eval as well."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(8, track_running_stats=False)  # fault

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.mix(x))


class WrongAxis(nn.Module):
    """Attention over the batch: batch_first was forgotten."""

    def __init__(self) -> None:
        super().__init__()
        self.attend = nn.MultiheadAttention(8, 2)  # fault

    def forward(self, x: Tensor) -> Tensor:
        return self.attend(x, x, x)[0]


class FixedBatch(Mid):
    def forward(self, x: Tensor) -> Tensor:
        return self.mix(x).reshape(4, 8)  # fault


class SqueezesOne(Mid):
    """Right for every batch but one row."""

    def forward(self, x: Tensor) -> Tensor:
        return self.mix(x).squeeze()[:, :8]  # fault


class Tail(Mid):
    def forward(self, x: Tensor) -> Tensor:
        with torch.enable_grad():
            return self.mix(x)  # fault


class GraphKept(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.tail = nn.Linear(6, 8), Tail()

    def forward(self, x: Tensor) -> Tensor:
        return self.tail(self.first(x))


class KeepsList(Mid):
    """Every activation, for a plot that nobody draws."""

    def __init__(self) -> None:
        super().__init__()
        self.history: list[Tensor] = []

    def forward(self, x: Tensor) -> Tensor:
        y = self.mix(x)
        self.history.append(y.repeat(1, 64))  # fault
        return y


class KeepsGlobal(Mid):
    def forward(self, x: Tensor) -> Tensor:
        y = self.mix(x)
        KEPT.append(y.repeat(1, 64))  # fault
        return y


class KeepsInClosure(nn.Module):
    """A hook whose closure holds on to each output."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(6, 4)
        held: list[Tensor] = []
        self.linear.register_forward_hook(lambda module, args, output: held.append(output.repeat(1, 64)))  # fault

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x)


class KeepsDict(Mid):
    """A cache by a key that never comes again."""

    def __init__(self) -> None:
        super().__init__()
        self.cache: dict[int, Tensor] = {}

    def forward(self, x: Tensor) -> Tensor:
        self.cache[len(self.cache)] = x.repeat(1, 64)  # fault
        return self.mix(x)


class ScratchShared(Mid):
    """One scratch buffer for all calls: two threads write over each other."""

    def __init__(self) -> None:
        super().__init__()
        self.scratch = torch.zeros(64, 8)

    def forward(self, x: Tensor) -> Tensor:
        part = self.scratch[: len(x)]
        part.copy_(x)  # fault
        for _ in range(20):
            part.mul_(1.01)
        return self.mix(part)


class ThreadState(Mid):
    """What it answers depends on which thread asks."""

    def forward(self, x: Tensor) -> Tensor:
        shift = 0.0 if threading.current_thread() is threading.main_thread() else 0.1  # fault
        return self.mix(x) + shift


class AliasesBuffer(nn.Module):
    """Answers with its own scratch: the next call writes over the last answer."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(6, 4)
        self.out = torch.zeros(64, 4)

    def forward(self, x: Tensor) -> Tensor:
        out = self.out[: len(x)]
        out.copy_(self.linear(x))  # fault
        return out


class NotPersistent(Mid):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("shift", torch.randn(8), persistent=False)  # fault

    def forward(self, x: Tensor) -> Tensor:
        return self.mix(x) + self.shift


class PlainAttribute(Mid):
    """A tensor that is neither parameter nor buffer."""

    def __init__(self) -> None:
        super().__init__()
        self.table = torch.randn(8, 8)  # fault

    def forward(self, x: Tensor) -> Tensor:
        return self.mix(x) @ self.table.to(x.dtype)


class HiddenLayers(Mid):
    """Layers in a plain list, which no state_dict sees."""

    def __init__(self) -> None:
        super().__init__()
        self.more = [nn.Linear(8, 8)]  # fault

    def forward(self, x: Tensor) -> Tensor:
        return self.more[0](self.mix(x))


class OldSeed(Mid):
    """A number drawn while it was built."""

    def __init__(self) -> None:
        super().__init__()
        self.angle = float(torch.rand(()))  # fault

    def forward(self, x: Tensor) -> Tensor:
        return self.mix(x) * self.angle


class StateLeftOut(Mid):
    """A state_dict hook that drops a key, and a load that does not miss it."""

    def __init__(self) -> None:
        super().__init__()
        self.extra = nn.Parameter(torch.randn(8))

    def _save_to_state_dict(self, destination: dict[str, Any], prefix: str, keep_vars: bool) -> None:
        super()._save_to_state_dict(destination, prefix, keep_vars)
        del destination[prefix + "extra"]  # fault

    def _load_from_state_dict(self, state: dict[str, Any], prefix: str, *more: Any) -> None:
        state.setdefault(prefix + "extra", self.extra.detach())
        super()._load_from_state_dict(state, prefix, *more)

    def forward(self, x: Tensor) -> Tensor:
        return self.mix(x) + self.extra


class DoubleLiteral(nn.Module):
    """A float64 constant that makes what follows float64."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x) * torch.linspace(0.5, 1.5, 4, dtype=torch.float64)  # fault


def net(name: str) -> nn.Module:
    """The small net with the layer of that name in its middle."""
    return Net(globals()[name]())


class LongestCut(nn.Module):
    """Cuts every row to the longest of its batch, and takes the mean over what is left."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.head = nn.Embedding(30, 8), nn.Linear(8, 3)

    def forward(self, ids: Tensor) -> Tensor:
        longest = int((ids > 14).sum(1).max())
        kept = ids[:, : max(longest, 1)]  # fault
        return self.head(self.embed(kept).mean(1))


class SqueezesAll(nn.Module):
    """One number a row, and for a single row none: it has no batch any more."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(6, 1)

    def forward(self, x: Tensor) -> Tensor:
        return torch.sigmoid(self.head(x)).squeeze()  # fault
