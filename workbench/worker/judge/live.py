"""The live model put into the state a run started from, and afterwards exactly back.

Owns how a replay starts; what it changes is put back by `snapshot.py`. Buffers and inputs are
exchanged for copies while a replay runs.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from torch import nn

from workbench.worker.bench.modes import DEFAULT_THREADS, grad_context
from workbench.worker.bench.sampling import map_each
from workbench.worker.judge.held import Snapshot
from workbench.worker.judge.replay import Parts, Record
from workbench.worker.judge.snapshot import untouched_model


@contextlib.contextmanager
def kept_as_it_is(model: nn.Module) -> Iterator[Snapshot]:
    """Whatever a forward does to the model, to generators and to global switches inside is undone afterwards."""
    with untouched_model(model) as snapshot:
        torch.backends.mha.set_fastpath_enabled(False)  # hooks switch it off anyway; so it is off on both sides
        yield snapshot


def replay(model: nn.Module, parts: Parts, record: Record, threads: int = 0) -> Any:
    """One forward from the state in `record`; only inside `kept_as_it_is`. What the forward raises goes through.

    `threads` stand in the place of the record's own, unless 0.
    """
    for (_, module), flag in zip(parts.modules, record.flags):  # noqa: B905
        module.training = flag
    copies = record.buffers
    if copies is None or len(copies) != len(parts.buffers):
        copies = tuple(holder[name] for _, holder, name in parts.buffers)  # type: ignore[misc]
    with torch.no_grad():
        for (_, holder, name), copy in zip(parts.buffers, copies):  # noqa: B905
            holder[name] = copy.detach().clone()
    torch.set_num_threads(threads or record.modes.threads or DEFAULT_THREADS)
    record.generators.put()
    args, kwargs = copies_of(record.args, record.kwargs)
    with grad_context(record.modes.grad):
        return model(*args, **kwargs)


def copies_of(args: Any, kwargs: Any) -> tuple[Any, Any]:
    """The same inputs in tensors of their own, so that a forward that writes into them changes nothing."""
    fresh, named = map_each((args, kwargs), _fresh)
    return fresh, named


def _fresh(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.detach().clone().requires_grad_(tensor.requires_grad)
