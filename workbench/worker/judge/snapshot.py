"""Owns the promise that looking changes nothing: the model and the process are recorded before it, and put back after.

It never runs the model. What a model holds is `held.py`'s; here are the global generators, the number of threads,
the default dtype, deterministic algorithms and the transformer fast path.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from workbench.worker.judge.held import Snapshot
from workbench.worker.judge.replay import Generators

if TYPE_CHECKING:
    from workbench.worker.bench.bench import Bench


@contextlib.contextmanager
def untouched(bench: Bench) -> Iterator[Snapshot]:
    """Inside, anything may run the bench's model; afterwards model, inputs and generators are as before."""
    with untouched_model(bench.model, bench.args, bench.kwargs) as snapshot:
        yield snapshot


@contextlib.contextmanager
def untouched_model(model: nn.Module, args: Any = (), kwargs: Any = None) -> Iterator[Snapshot]:
    """The same for a model and the tensors of one call."""
    threads, dtype = torch.get_num_threads(), torch.get_default_dtype()
    strict, warn = _deterministic()
    fast = torch.backends.mha.get_fastpath_enabled()
    generators = Generators.take()
    snapshot = Snapshot(model, args, kwargs or {})
    try:
        yield snapshot
    finally:
        snapshot.restore()
        generators.put()
        if torch.get_num_threads() != threads:
            torch.set_num_threads(threads)
        torch.set_default_dtype(dtype)
        if _deterministic() != (strict, warn):  # the setter imports the whole compiler, seconds of it
            torch.use_deterministic_algorithms(strict, warn_only=warn)
        torch.backends.mha.set_fastpath_enabled(fast)


def _deterministic() -> tuple[bool, bool]:
    return torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
