"""Graphs that a model keeps alive by itself: attributes and buffers that hold a tensor with a graph behind it.

It walks graphs and unpacks nothing; it never runs the model.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from workbench.worker.judge.graph import nodes_behind

DEPTH = 3
"""Containers within each other that are looked into."""
ITEMS = 64
"""Items of one container that are looked at."""
GRAPHS = 16
"""Graphs that are walked; each may have `graph.NODE_LIMIT` nodes."""
_OWN = frozenset(vars(nn.Module()))
"""What nn.Module keeps for itself."""


@dataclass(frozen=True, eq=False)
class OwnGraph:
    """The graph behind one tensor that the model holds."""

    name: str
    """ "body.mid.state", "cell.states[0]"."""
    tensor: torch.Tensor
    nodes: int
    """Of the graph behind it, as far as it is walked."""


def with_graph(model: nn.Module) -> Iterator[tuple[str, torch.Tensor]]:
    """(name, tensor) of every tensor with a graph behind it that the modules' attributes and buffers hold."""
    for path, module in model.named_modules():
        for name, value in [*vars(module).items(), *module._buffers.items()]:
            if name not in _OWN:
                found = _tensors(f"{path}.{name}" if path else name, value, DEPTH)
                yield from ((label, tensor) for label, tensor in found if tensor.grad_fn is not None)


def own_graphs(model: nn.Module) -> list[OwnGraph]:
    """The first `GRAPHS` of these, with the sizes of their graphs."""
    found = itertools.islice(with_graph(model), GRAPHS)
    return [OwnGraph(name, tensor, len(nodes_behind([tensor])[0])) for name, tensor in found]


def growing_graphs(before: list[OwnGraph], after: list[OwnGraph]) -> list[tuple[str, int, int]]:
    """(name, nodes then, nodes now) of the graphs that became larger: runs are chained to the ones before."""
    then = {one.name: one.nodes for one in before}
    return [(one.name, then[one.name], one.nodes) for one in after if 0 < then.get(one.name, 0) < one.nodes]


def _tensors(label: str, value: Any, depth: int) -> Iterator[tuple[str, torch.Tensor]]:
    if isinstance(value, torch.Tensor):
        if not isinstance(value, nn.Parameter):
            yield label, value
    elif depth and isinstance(value, Mapping):
        for key, item in list(value.items())[:ITEMS]:
            yield from _tensors(f"{label}[{key!r}]", item, depth - 1)
    elif depth and isinstance(value, (list, tuple)):
        for place, item in enumerate(value[:ITEMS]):
            yield from _tensors(f"{label}[{place}]", item, depth - 1)
