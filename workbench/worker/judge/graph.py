"""The tensors that an autograd graph keeps alive for backward, found by walking it.

Owns what torch 2.13 keeps where: saved variables, what hooks packed in their place (activation checkpointing,
save_on_cpu), and what a custom Function put on its ctx. It unpacks nothing, for that could run the model again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import torch

NODE_LIMIT = 10_000
"""Nodes of a graph that are looked at. A chain whose nodes were seen from Python is freed by recursion in
torch 2.13, and one of 50,000 overflowed the stack of 8 MiB."""
_raw_names: dict[type, tuple[str, ...]] = {}


def nodes_behind(outputs: Iterable[torch.Tensor]) -> tuple[list[Any], bool]:
    """Every node of the graph behind `outputs`, each once, and whether that was all of them."""
    seen: dict[Any, None] = {}
    waiting = [tensor.grad_fn for tensor in outputs if tensor.grad_fn is not None]
    while waiting and len(seen) < NODE_LIMIT:
        node = waiting.pop()
        if node in seen:
            continue
        seen[node] = None
        waiting.extend(following for following, _ in node.next_functions if following is not None)
    return list(seen), not waiting


def nodes_behind_each(outputs: Iterable[torch.Tensor]) -> tuple[list[Any], bool]:
    """`nodes_behind` for outputs of many runs: the limit is each output's own.

    Outputs whose graphs meet above the leaves (a state that is never detached) are one chain; with the limit reached
    there, later outputs are left out.
    """
    seen: dict[Any, int] = {}
    above: list[int] = []  # of each walk: the walk that it was joined to, or itself
    sizes: list[int] = []
    whole, chained = True, False
    for tensor in outputs:
        if chained:
            return list(seen), False
        this = len(above)
        above.append(this)
        sizes.append(0)
        waiting = [tensor.grad_fn] if tensor.grad_fn is not None else []
        while waiting and sizes[this] < NODE_LIMIT:
            node = waiting.pop()
            following = [one for one, _ in node.next_functions if one is not None]
            if node not in seen:
                seen[node] = this
                sizes[this] += 1
                waiting.extend(following)
            elif following:  # parameters are everybody's
                other = seen[node]
                while above[other] != other:
                    other = above[other]
                if other != this:
                    above[other] = this
                    sizes[this] += sizes[other]
                    chained = sizes[this] >= NODE_LIMIT
        whole = whole and not waiting
    return list(seen), whole


def saved_tensors(node: Any) -> Iterator[torch.Tensor]:
    """What one node saved for backward, and what a custom Function keeps on its ctx."""
    kind = type(node)
    names = _raw_names.get(kind)
    if names is None:
        names = _raw_names[kind] = tuple(name for name in dir(kind) if name.startswith("_raw_saved_"))
    for name in names:
        try:
            raw = getattr(node, name)
        except RuntimeError:
            continue  # freed: a backward inside forward has released it, so nothing is held
        for saved in raw if isinstance(raw, (tuple, list)) else (raw,):
            yield from _held(saved)
    yield from on_ctx(node)


def on_ctx(node: Any) -> Iterator[torch.Tensor]:
    """Tensors among the attributes of a custom Function's ctx, also in lists, tuples and dicts."""
    own = getattr(node, "__dict__", None)
    if isinstance(own, dict):
        for value in own.values():
            yield from _tensors(value, 2)


def components(tensor: torch.Tensor) -> list[torch.Tensor]:
    """The strided tensors that a tensor is made of: itself, or the indices and values of a sparse one; none for
    those without storage that can be seen (meta, mkldnn)."""
    if tensor.device.type == "meta":
        return []
    if tensor.layout is torch.strided:
        return [tensor]
    tensor = tensor.detach()
    if tensor.layout is torch.sparse_coo:
        return [tensor._indices(), tensor._values()]
    if tensor.layout in (torch.sparse_csr, torch.sparse_bsr):
        return [tensor.crow_indices(), tensor.col_indices(), tensor.values()]
    if tensor.layout in (torch.sparse_csc, torch.sparse_bsc):
        return [tensor.ccol_indices(), tensor.row_indices(), tensor.values()]
    return []


def storage_key(tensor: torch.Tensor) -> tuple[str, int]:
    """What two tensors share that lie in one storage."""
    return str(tensor.device), tensor.untyped_storage().data_ptr()


def _held(saved: Any) -> Iterator[torch.Tensor]:
    """Tensors behind one SavedTensor, as they lie there: `data` neither unpacks nor checks versions."""
    value = getattr(saved, "data", None)
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, (tuple, list)):
        yield from (item for item in value if isinstance(item, torch.Tensor))
    elif value is not None and (hook := getattr(saved, "unpack_hook", None)) is not None:
        yield from _checkpointed(value, hook)


def _checkpointed(packed: Any, hook: Any) -> Iterator[torch.Tensor]:
    """What a packed object stands for: a tensor that it holds, or the inputs that a checkpoint recomputes it from.

    torch.utils.checkpoint packs placeholders, and its unpack hook holds the frame with the saved inputs.
    """
    inner = getattr(packed, "tensor", None)
    if isinstance(inner, torch.Tensor):
        yield inner
    for cell in getattr(hook, "__closure__", None) or ():
        try:
            frame = cell.cell_contents
        except ValueError:  # an empty cell
            continue
        if type(frame).__module__ != "torch.utils.checkpoint":
            continue
        for saved in getattr(frame, "saved_args", None) or ():
            data = getattr(saved, "data", saved)
            if isinstance(data, torch.Tensor):
                yield data
        saver = getattr(frame, "input_saver", None)  # torch before 2.12
        if saver is not None:
            yield from saved_tensors(saver)


def _tensors(value: Any, depth: int) -> Iterator[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        yield value
    elif depth and isinstance(value, (list, tuple)):
        for item in value:
            yield from _tensors(item, depth - 1)
    elif depth and isinstance(value, dict):
        for item in value.values():
            yield from _tensors(item, depth - 1)
