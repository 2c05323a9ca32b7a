"""Owns the promise that looking changes nothing: the model and the process are recorded before it, and put back after.

It never runs the model. What a model holds is `held.py`'s, torch's switches are `switches.py`'s; here they are taken
together, with the global generators.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from torch import nn

from workbench.worker.judge.held import Snapshot
from workbench.worker.judge.replay import Generators
from workbench.worker.judge.switches import Switches

if TYPE_CHECKING:
    from workbench.worker.bench.bench import Bench


@contextlib.contextmanager
def untouched(bench: Bench) -> Iterator[Snapshot]:
    """Inside, anything may run the bench's model; afterwards model, inputs and generators are as before."""
    with untouched_model(bench.model, bench.args, bench.kwargs) as snapshot:
        yield snapshot


@contextlib.contextmanager
def untouched_model(
    model: nn.Module, args: Any = (), kwargs: Any = None, budget: int | None = None
) -> Iterator[Snapshot]:
    """The same for a model and the tensors of one call; budget: bytes of values copied at most (None: 1 GiB)."""
    switches = Switches()
    generators = Generators.take()
    snapshot = Snapshot(model, args, kwargs or {}, budget)
    try:
        yield snapshot
    finally:
        snapshot.restore()
        generators.put()
        switches.put()
