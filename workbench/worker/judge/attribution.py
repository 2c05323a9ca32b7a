"""Which module saves how much for backward: one forward with grad under saved-tensor hooks.

Owns the hooks and the count by module. The walk over the graph (`graph.py`) finds the same total without hooks, but
not the modules. Hooks slow a small model down several times: nothing is timed here.
"""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterable
from typing import Any

import torch
from torch import nn

from workbench.protocol.memory import SavedPart
from workbench.worker.judge.checks_places import watching
from workbench.worker.judge.graph import components, nodes_behind, on_ctx, saved_tensors, storage_key
from workbench.worker.judge.leaves import flatten
from workbench.worker.judge.snapshot import untouched_model

ON_CTX = "(on ctx)"
"""In the place of a path: what custom Functions keep as attributes of ctx, which no hook sees."""


class _Packed:
    """Stands in the graph for a saved tensor; alive exactly as long as the graph holds it."""

    __slots__ = ("__weakref__", "path", "tensor")

    def __init__(self, tensor: torch.Tensor, path: str) -> None:
        self.tensor, self.path = tensor, path


def saved_by_module(
    model: nn.Module, args: Any, kwargs: Any, without: Iterable[torch.Tensor] = ()
) -> tuple[tuple[SavedPart, ...], int]:
    """(what each module saves, the largest first; bytes in all) of one forward with grad, in the model's own flags.

    A storage counts once, for the module that saved it first; `without` (the parameters) is not counted. The model and
    its inputs are afterwards as before. Raises what the forward raises.
    """
    known = {storage_key(part) for tensor in without for part in components(tensor)}
    path: list[str] = [""]
    packed: list[weakref.ref[_Packed]] = []

    def pack(tensor: torch.Tensor) -> _Packed:
        held = _Packed(tensor.detach(), path[-1])
        packed.append(weakref.ref(held))
        return held

    def enter(name: str, module: nn.Module, inputs: Any) -> None:
        path.append(name)

    def leave(name: str, module: nn.Module, output: Any) -> None:
        path.pop()  # of a forward that raised, too: the model may catch it and go on

    with untouched_model(model, args, kwargs), torch.enable_grad():
        with (
            watching(model, enter, leave, always=True),
            torch.autograd.graph.saved_tensors_hooks(pack, lambda held: held.tensor),
        ):
            output = model(*args, **kwargs)
        alive = [held for held in (reference() for reference in packed) if held is not None]
        found: dict[str, list[int]] = {}
        for held in alive:
            _count(found, known, held.path, held.tensor)
        nodes, _ = nodes_behind(tensor for _, tensor in flatten(output).leaves)
        for node in nodes:
            for tensor in on_ctx(node):
                _count(found, known, ON_CTX, tensor)
            for tensor in saved_tensors(node):  # what no hook is asked about: the number that a tensor is scaled by
                _count(found, known, "", tensor)
        del output, alive, nodes
    gc.collect()  # a graph may hold itself
    parts = [SavedPart(name, size, count) for name, (size, count) in found.items() if size]
    parts.sort(key=lambda part: -part.bytes)
    return tuple(parts), sum(part.bytes for part in parts)


def _count(found: dict[str, list[int]], known: set[tuple[str, int]], path: str, tensor: torch.Tensor) -> None:
    entry = found.setdefault(path, [0, 0])
    parts = components(tensor)
    if not parts:
        entry[0] += tensor.numel() * tensor.element_size()
        entry[1] += 1
    for part in parts:
        key = storage_key(part)
        if key not in known:
            known.add(key)
            entry[0] += part.untyped_storage().nbytes()
            entry[1] += 1
