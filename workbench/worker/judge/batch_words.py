"""What to change or to declare where rows of a batch depend on each other: by the operator in which they meet, and in
the words of the model's own inputs.

It judges nothing.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import torch

from workbench.protocol.spec import DynamicDim, InputSpec
from workbench.worker.bench.inputs import Example

MOST = 8
"""Largest batch in a range that is proposed, where the example's own is not larger."""
SHOWN = 3
"""Inputs that are written out."""
TOGETHER = "If rows belong together, declare it: batch_coupled = true."

_REMEDIES: tuple[tuple[tuple[str, ...], str], ...] = (
    (
        ("amax", "amin", "aminmax", "max", "min", "abs", "quantize", "_choose_qparams", "choose_qparams", "round"),
        "Take it, or the scale that is made of it, from each row alone: x.amax(dim=-1, keepdim=True).",
    ),
    (
        ("native_batch_norm", "_native_batch_norm", "cudnn_batch_norm", "_batch_norm", "batch_norm"),
        "Normalise with running statistics (track_running_stats=True), or within a row: nn.LayerNorm, nn.GroupNorm.",
    ),
    (
        ("mean", "sum", "var", "std", "softmax", "_softmax", "_log_softmax", "logsumexp", "norm", "linalg_vector_norm",
         "prod", "median", "nanmedian", "all", "any"),
        "Name the dimensions of one row in it, dim=-1 or dim=(1, 2): dimension 0 is the batch.",
    ),
    (("cumsum", "cumprod", "cummax", "cummin", "logcumsumexp"), "Let it run along a dimension of the row: dim=1."),
    (("roll", "flip", "rot90"), "Move values within a row: dims=1, or another that is not the batch's."),
    (
        ("topk", "sort", "argsort", "kthvalue", "unique", "_unique2", "unique_dim", "msort", "argmax", "argmin"),
        "Choose within each row: dim=-1.",
    ),
    (
        ("nonzero", "index", "index_copy", "index_copy_", "index_put", "index_put_", "_index_put_impl_", "index_add",
         "index_add_", "index_select", "gather", "scatter", "scatter_", "scatter_add", "scatter_add_", "masked_select",
         "masked_scatter", "bincount", "histc", "one_hot"),
        "What a row is given here depends on the rows before it (a capacity, an order, a place among those chosen): "
        "give every row its share whatever the others are, as a weight or a mask, and drop none.",
    ),
    (
        ("slice", "narrow", "select", "split", "chunk", "_local_scalar_dense", "item", "slice_backward"),
        "The place or length of this part comes out of all rows: take a fixed one, or mask within each row.",
    ),
    (
        ("view", "reshape", "_unsafe_view", "_reshape_copy", "_reshape_alias", "permute", "transpose", "t", "unflatten",
         "flatten", "as_strided", "clone", "unfold", "squeeze"),
        "Keep dimension 0 as it is: move dimensions with transpose or permute, and reshape those of a row alone.",
    ),
    (
        ("mm", "bmm", "matmul", "addmm", "baddbmm", "dot", "mv", "einsum",
         "_scaled_dot_product_flash_attention_for_cpu",
         "scaled_dot_product_attention", "_scaled_dot_product_attention_math", "_native_multi_head_attention",
         "_transformer_encoder_layer_fwd"),
        "It sums over the batch, or attends from row to row: look at what was transposed, or at batch_first.",
    ),
)  # fmt: skip
"""Names of operators, without "aten.", and what helps there."""
OTHERWISE = "Look at what this does along dimension 0, which is the batch."


def remedy_at(operator: str) -> str:
    """What helps where rows meet in `operator` ("aten.mean"), and what to declare where they are meant to; the operator
    may be empty, where it is not known."""
    name = operator.rpartition(".")[2]
    helps = next((words for names, words in _REMEDIES if name in names), OTHERWISE)
    if not operator:
        helps = "Look for what runs over dimension 0: a mean, a softmax, an index, a reshape."
    return f"{helps} {TOGETHER}"


def batch_declared(example: Example, axis: int = 0, more: bool = False, limits: tuple[int, int] | None = None) -> str:
    """`--input` for the example's own inputs with their batch, of `limits`, declared along `axis`; with `more`, along a
    new first dimension."""
    specs = list(_specs(example))
    size = 0 if more else next((spec.shape[axis] for spec in specs if len(spec.shape) > axis), 0)
    found = []
    for spec in specs:
        if more:
            moved = tuple(dataclasses.replace(dim, axis=dim.axis + 1) for dim in spec.dynamic)
            found.append(_with_batch(dataclasses.replace(spec, shape=(4, *spec.shape), dynamic=moved), 0, limits))
        elif size in spec.shape:
            own = axis if spec.shape[axis : axis + 1] == (size,) else spec.shape.index(size)
            found.append(_with_batch(spec, own, limits))
    texts = [f"--input '{spec.text}'" for spec in found[:SHOWN]]
    return " ".join(texts) + (" …" if len(found) > SHOWN else "") or "--input 'NAME=float32[batch:2..8,…]'"


def declare(example: Example, axis: int = 0, more: bool = False) -> str:
    """A remedy: which dimension is the batch is to be declared, or that rows belong together."""
    return f"Declare which dimension is the batch, {batch_declared(example, axis, more)}. {TOGETHER}"


def _with_batch(spec: InputSpec, axis: int, limits: tuple[int, int] | None) -> InputSpec:
    low, high = limits or (2, max(MOST, spec.shape[axis]))
    others = tuple(dim for dim in spec.dynamic if dim.axis != axis)
    return dataclasses.replace(spec, dynamic=(*others, DynamicDim(axis, "batch", low, high)), elements=())


def _specs(example: Example) -> Iterator[InputSpec]:
    """A spec for each tensor of the example: its own, or one like a tensor that was given as a value."""
    for argument in example.arguments:
        yield from (spec for _, spec in argument.specs)
        if isinstance(argument.value, torch.Tensor):
            dtype = str(argument.value.dtype).removeprefix("torch.")
            yield InputSpec(argument.name, dtype, tuple(argument.value.shape))
