"""Models whose answers are of classes of their own, and one that holds whatever a module can hold."""

from __future__ import annotations

import random
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn


class Scores(NamedTuple):
    logits: Tensor
    hidden: tuple[Tensor, Tensor]


class ModelOutput(OrderedDict[str, Any]):
    """A dict whose entries are attributes as well, as transformers has it."""

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError as problem:
            raise AttributeError(name) from problem


@dataclass
class Layer:
    keys: Tensor
    values: Tensor


class Cache:
    """An object that holds its layers in a list."""

    def __init__(self, layers: list[Layer]) -> None:
        self.layers = layers


@dataclass
class Step:
    logits: Tensor
    cache: Cache
    loss: Tensor | None = None


class Base(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(5, 3)


class Named(Base):
    def forward(self, x: Tensor) -> Scores:
        y = self.fc(x)
        return Scores(y, (y + 1, y * 2))


class Mapped(Base):
    def forward(self, x: Tensor) -> ModelOutput:
        y = self.fc(x)
        return ModelOutput(logits=y, hidden_states=(x, y))


class Cached(Base):
    def forward(self, x: Tensor) -> Step:
        y = self.fc(x)
        return Step(y, Cache([Layer(y + 1, y * 2), Layer(y - 1, y * 3)]))


class Full(Base):
    """Frozen and trainable parameters, gradients, buffers that count, hooks, generators, lists."""

    def __init__(self) -> None:
        super().__init__()
        self.fc.weight.grad = torch.ones(3, 5)
        self.fc.bias.requires_grad_(False)
        self.norm = nn.BatchNorm1d(3)
        self.drop = nn.Dropout(0.5)
        self.register_buffer("calls", torch.zeros((), dtype=torch.int64))
        self.plain = torch.arange(3.0)
        self.trail: list[int] = [1, 2]
        self.own = {"generator": torch.Generator().manual_seed(3)}
        self.hooked = 0
        self.fc.register_forward_hook(_shifted)

    def forward(self, x: Tensor) -> Tensor:
        self.calls.add_(1)
        self.trail.append(len(self.trail))
        torch.rand(1)
        random.random()
        return self.drop(self.norm(self.fc(x))) + self.plain


def _shifted(module: nn.Module, args: Any, output: Tensor) -> Tensor:
    return output + 1


class Counted:
    """A cache that counts what it holds."""

    def __init__(self) -> None:
        self.keys: Tensor | None = None
        self.seen: Any = 0

    def add(self, keys: Tensor) -> None:
        self.keys = keys
        self.seen = self.seen + keys.shape[-1]


class Counts(nn.Module):
    """Answers with a cache whose count of sizes torch.jit.trace makes a tensor of."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(5, 3)

    def forward(self, x: Tensor) -> dict[str, Any]:
        cache = Counted()
        cache.add(self.fc(x))
        return {"logits": self.fc(x), "cache": cache}
