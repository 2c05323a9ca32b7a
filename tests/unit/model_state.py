"""All that a model holds, by value, for the tests of what must not change: attributes, nested containers, objects."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn


class Counter:
    """A plain object with a number and a list of its own."""

    def __init__(self) -> None:
        self.count = 0
        self.trail: list[list[int]] = [[0]]


class Greedy(nn.Module):
    """Writes into everything that a module can hold outside of its registered tensors, and answers at random."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(6, 4)
        self.linear.weight.grad = torch.ones(4, 6)
        self.seen: list[int] = [1, 2]
        self.total = torch.tensor([2.0])
        self.nested: dict[str, list[Any]] = {"lists": [[1], {"deep": [torch.zeros(2)]}]}
        self.counter = Counter()
        self.own = torch.Generator().manual_seed(3)
        self.tools = {"generator": torch.Generator().manual_seed(4)}

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.seen.append(3)
        with torch.no_grad():
            self.total += 1
            self.nested["lists"][1]["deep"][0].add_(1)
        self.nested["lists"][0].append(2)
        self.counter.count += 1
        self.counter.trail[0].append(self.counter.count)
        self.linear.weight.data.mul_(1.001)
        assert self.linear.weight.grad is not None
        self.linear.weight.grad.add_(1)
        torch.use_deterministic_algorithms(True, warn_only=True)
        torch.backends.mha.set_fastpath_enabled(False)
        return self.linear(x) + torch.rand(4, generator=self.own) + torch.rand(4, generator=self.tools["generator"])


def held_by(model: nn.Module) -> Any:
    """Everything below the attributes of every module, and torch's global switches, to be compared with `==`."""
    switches = (torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled())
    held = [(path, _values(vars(module), 0)) for path, module in model.named_modules()]
    return held, switches, torch.backends.mha.get_fastpath_enabled()


def _values(value: Any, depth: int) -> Any:
    if isinstance(value, torch.Tensor):
        grad = value.grad if value.is_leaf else None
        return value.detach().tolist(), None if grad is None else grad.tolist(), value.requires_grad
    if isinstance(value, torch.Generator):
        return value.get_state().tolist()
    if isinstance(value, dict):
        return [(str(key), _values(item, depth + 1)) for key, item in value.items()]
    if isinstance(value, (list, tuple)):
        return [_values(item, depth + 1) for item in value]
    if isinstance(value, Counter):
        return _values(vars(value), depth + 1)
    return repr(value)
