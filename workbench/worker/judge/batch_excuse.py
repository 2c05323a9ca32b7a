"""What excuses a model whose rows depend on each other: its design, or that nothing says where its batch is."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from workbench.worker.bench.sampling import tensors_in
from workbench.worker.bench.words import some
from workbench.worker.judge.batch_words import declare
from workbench.worker.judge.checks_places import named
from workbench.worker.judge.checks_run import Subject


def excuse(subject: Subject) -> tuple[str, str]:
    """(why rows that depend on each other are no fault of this model, what to do); empty where there is no excuse."""
    example = subject.example
    declared = bool(example.batch_name)
    for path, module in subject.bench.model.named_modules():
        if ".quantized.dynamic." in f"{type(module).__module__}.":
            return f"{named(path, module)} takes one quantisation scale from the whole batch, by its design", ""
        if not declared and getattr(module, "batch_first", None) is False:
            words = f"{named(path, module)} has batch_first=False: dimension 0 may be time, and no batch was declared"
            return words, declare(example, axis=1)
    return ("", "") if declared else _undeclared(subject)


def _undeclared(subject: Subject) -> tuple[str, str]:
    """`excuse` where no batch was declared and the inputs do not show one."""
    inputs = tensors_in((subject.args, subject.kwargs))
    if inputs and all(tensor.dim() <= 1 for tensor in inputs):
        return "Every input has one dimension, and no batch was declared", declare(subject.example)
    firsts = list(dict.fromkeys(tensor.shape[0] for tensor in inputs if tensor.dim() and tensor.shape[0] != 1))
    if len(firsts) > 1:
        sizes = some([str(one) for one in firsts], 4)
        words = f"The inputs have first dimensions of {sizes}, and no batch was declared: dimension 0 may be none"
        return words, declare(subject.example)
    unbatched = _one_sample(subject)
    return (unbatched, declare(subject.example, more=True)) if unbatched else ("", "")


def _one_sample(subject: Subject) -> str:
    """In words, that a layer of torch's takes what it is given as one sample; empty when none does."""
    found: list[str] = []
    kinds = (nn.MultiheadAttention, nn.RNNBase, nn.TransformerEncoderLayer, nn.TransformerDecoderLayer)
    spatial = (nn.modules.conv._ConvNd, nn.modules.pooling._MaxPoolNd, nn.modules.pooling._AvgPoolNd)

    def look(module: nn.Module, args: Any) -> None:
        first = next(iter(tensors_in(args)), None)
        if first is None:
            return
        dims = 2 if isinstance(module, kinds) else _spatial_dims(module) + 1
        if first.dim() == dims and not found:
            found.append(f"{type(module).__name__} takes its input of {dims} dimensions as one sample, not as a batch")

    handles = [
        module.register_forward_pre_hook(look)
        for module in subject.bench.model.modules()
        if isinstance(module, (*kinds, *spatial)) and not isinstance(module, torch.jit.ScriptModule)
    ]
    try:
        subject.forward()
    finally:
        for handle in handles:
            handle.remove()
    return found[0] if found else ""


def _spatial_dims(module: nn.Module) -> int:
    """1, 2 or 3, by the name of torch's own layer."""
    return next((int(digit) for digit in reversed(type(module).__name__) if digit.isdigit() and digit in "123"), 2)
