"""Answers `RepairWeights`: the model without its weights, the file, the map between them, and the renamed file."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import Any

import torch

from workbench.protocol import files
from workbench.protocol.failures import error
from workbench.protocol.repair import Repaired, RepairWeights
from workbench.worker import tensorfile
from workbench.worker.bench import fitting, weights
from workbench.worker.bench.info import absolute
from workbench.worker.bench.load import IMPORTS, instantiate
from workbench.worker.bench.modes import generators_kept
from workbench.worker.job import Job

LISTED = 20_000
"""Names that are sent."""


def repair(request: RepairWeights, job: Job) -> Repaired:
    """The map, and the file where one is wanted. Raises `WorkbenchError` ("model", "weights", "exists", "write")."""
    recipe = request.recipe
    if request.out and os.path.lexists(request.out):
        raise error("exists", f"{request.out} is there already.", "--out", "Choose another name.")
    job.progress("importing the model")
    with generators_kept(recipe.seed):
        resolved = IMPORTS.resolve(dataclasses.replace(recipe, weights=""))
        job.progress("building the model")
        model = instantiate(resolved, recipe)
    job.progress("reading the weights")
    checkpoint = weights.read(absolute(recipe, recipe.weights), hashed=False)
    job.progress("looking for names that fit")
    found = fitting.proposal(model, checkpoint.tensors)
    if request.out:
        job.progress("writing the renamed weights")
        _write(request.out, fitting.renamed(checkpoint.tensors, found))
    return Repaired(
        found.words,
        found.before,
        found.after,
        found.total,
        tuple((old, new) for old, new in found.names.items() if old != new)[:LISTED],
        found.random[:LISTED],
        found.unused[:LISTED],
        found.shapes,
        found.doubt,
        found.code,
        request.out,
    )


def _write(path: str, tensors: dict[str, Any]) -> None:
    """A state_dict in the format that the name asks for. Raises `WorkbenchError("write")`."""
    if not path.endswith(".safetensors"):
        files.write_with(Path(path), lambda stream: torch.save(tensors, stream))
        return
    strange = [name for name, value in tensors.items() if not isinstance(value, torch.Tensor)]
    if strange:
        message = f"{strange[0]} is no tensor, and .safetensors holds tensors alone."
        raise error("write", message, path, "Give --out a name that ends in .pt.")
    try:
        tensorfile.save(path, tensors)
    except (ValueError, OSError) as problem:
        reason = getattr(problem, "strerror", None) or str(problem)
        raise error("write", f"{path} could not be written: {reason}.", path, "Choose another place.") from problem
