"""A second model of the same recipe, in other modes: what a run ran on that the live model no longer is.

Owns its making. The bench, its model, its imports and the generators are as before afterwards.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from torch import nn

from workbench.protocol.failures import error
from workbench.protocol.model import ModeChange, Modes
from workbench.worker.bench import load as loading
from workbench.worker.bench.modes import apply, generators_kept, read_modes
from workbench.worker.job import Job

if TYPE_CHECKING:
    from workbench.worker.bench.bench import Bench


def twin(bench: Bench, modes: Modes, job: Job) -> nn.Module:
    """The recipe built again with the weights of its file, in the training flags, dtype and device of `modes`.

    Raises `WorkbenchError`: "usage" for a target that is one instance, and what building raises.
    """
    former = loading.IMPORTS.current
    try:
        with generators_kept():
            built = loading.build(bench.recipe, job)
            if built.model is bench.model:
                words = "The target is one instance: it cannot be built a second time."
                raise error("usage", words, bench.recipe.target, "Name its class or a factory instead.")
            change = ModeChange(training=modes.training, flips=modes.flips, dtype=modes.dtype, device=modes.device)
            fresh = dataclasses.replace(read_modes(built.model), dtype="")
            apply(built.model, None, fresh, change)
            return built.model
    finally:
        loading.IMPORTS.go_back(former)
