"""Which module of a program is recorded, and when one may be asked for its state: it must be this process's alone."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

_SHARDED = ("FullyShardedDataParallel", "FSDPModule")


def bare(model: Any) -> Any:
    """The model inside what torch.compile and data parallelism wrap around it."""
    inner = getattr(model, "_orig_mod", None)
    if inner is None and isinstance(model, (nn.DataParallel, nn.parallel.DistributedDataParallel)):
        inner = model.module
    return model if inner is None else bare(inner)


def refuse_shared(model: nn.Module) -> None:
    """Raise ValueError for a model of which this process has only a part (FSDP, DTensor).

    Its state is gathered by all processes together: a recording that asks for it on one of them would wait for ever.
    """
    for name, module in model.named_modules():
        kinds = [kind for kind in type(module).__mro__ if kind.__module__.startswith("torch.distributed.")]
        if any(kind.__name__ in _SHARDED for kind in kinds):
            raise ValueError(f"{_called(name, model)} is sharded over processes (FSDP); {_REMEDY}")
    for name, tensor in [*model.named_parameters(), *model.named_buffers()]:
        if type(tensor).__name__ == "DTensor" or getattr(tensor, "_fsdp_flattened", False):
            raise ValueError(f"{name} is spread over processes ({type(tensor).__name__}); {_REMEDY}")


_REMEDY = "capture the model before it is sharded, in a run of one process"


def records_a_graph() -> bool:
    """Whether what runs now goes into a CUDA graph, which a copy to the CPU would end."""
    return bool(torch.cuda.is_initialized()) and torch.cuda.is_current_stream_capturing()  # type: ignore[no-untyped-call]


def _called(name: str, model: nn.Module) -> str:
    return name or f"the {type(model).__name__}"
