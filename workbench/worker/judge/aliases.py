"""Answers that are no copies: memory of the model's own parameters and buffers that its caller could write into."""

from __future__ import annotations

import torch

from workbench.worker.bench.words import some
from workbench.worker.judge.checks_run import Subject
from workbench.worker.judge.leaves import flatten

REMEDY = "Return a copy, .clone(), or say so to whoever calls it: what is written into the answer is in the model."


def told_aliases(subject: Subject) -> None:
    """Tell which outputs share their memory with a parameter or a buffer, which nobody needs to have changed yet."""
    model = subject.bench.model
    held = {_memory(tensor): f"parameter {name}" for name, tensor in model.named_parameters()}
    held |= {_memory(tensor): f"buffer {name}" for name, tensor in model.named_buffers()}
    held.pop(0, None)
    given = {_memory(tensor) for _, tensor in flatten((subject.args, subject.kwargs)).leaves}
    leaves = flatten(subject.forward(seed=subject.bench.recipe.seed)).leaves
    shared = [(path, held[place]) for path, leaf in leaves if (place := _memory(leaf)) in held and place not in given]
    if shared:
        words = some([f"{path} is memory of {owner}" for path, owner in shared], 4)
        subject.found("output_alias", f"The answer is no copy: {words}.", REMEDY)


def _memory(tensor: torch.Tensor) -> int:
    """Address of its storage; 0 for what has none of its own."""
    if tensor.layout is not torch.strided or tensor.is_meta or tensor.is_nested or torch.nn.parameter.is_lazy(tensor):
        return 0
    return tensor.untyped_storage().data_ptr()
