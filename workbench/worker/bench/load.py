"""From a recipe to a model: resolve, construct under a seed, fill with weights, find its inputs, describe it.

Owns the order of these steps. The bench, export, golden and yardstick workers all build through here. Nothing is
kept when a step fails: the former imports come back and the generators are as they were.
"""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import os
import time
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from workbench.protocol.failures import WorkbenchError, error
from workbench.protocol.model import ModelInfo, Recipe
from workbench.worker.bench import captured, packages, weights
from workbench.worker.bench.constructor import check_arguments, mistyped
from workbench.worker.bench.diagnosis import explain
from workbench.worker.bench.example_sources import example_from
from workbench.worker.bench.failing import failed_in
from workbench.worker.bench.filling import Strict, Values, construct
from workbench.worker.bench.info import absolute, describe, tied, unset_tensors
from workbench.worker.bench.inputs import Example
from workbench.worker.bench.modes import flags, generators_kept, set_flags
from workbench.worker.bench.target import Imports, Resolved, module_classes
from workbench.worker.bench.words import some, with_article
from workbench.worker.job import Job

META_FROM = 64 << 20
"""Bytes of a weights file from which parameters are constructed without memory or initialisation: below it saves
nothing, and some constructors read their parameters."""

IMPORTS = Imports()
"""The imports of this process: one model lives in a worker at a time."""


@dataclass
class Built:
    """A model made from a recipe, and all that belongs to it."""

    model: nn.Module
    example: Example
    info: ModelInfo
    source_files: tuple[str, ...]
    """The architecture's file and the helper modules beside it."""
    resolved: Resolved
    recipe: Recipe
    """What it was built from; of a capture, what that stands for."""
    checkpoint: weights.Checkpoint | None = None
    """Path, digest and signature of the weights; its tensors are let go of."""

    def weights_sha256(self) -> str:
        """The digest of the weights file, waited for; empty without one. `info` may not know it yet."""
        return self.checkpoint.sha256 if self.checkpoint else ""


def build(
    recipe: Recipe,
    job: Job,
    state_path: str = "",
    state: dict[str, Any] | None = None,
    example: Example | None = None,
) -> Built:
    """Make the recipe's model and its example inputs.

    `state_path`: a file of `SaveState` that stands in for the weights. `state`: values of a live model that are taken
    where names and shapes agree, in place of the weights (a reload of edited source). `example`: another model's, in
    place of the recipe's own.
    Raises `WorkbenchError` ("model", "weights", "inputs", "usage", "memory"); then the former imports are back.
    """
    former = IMPORTS.current
    try:
        return _build(recipe, job, state_path, state, example)
    except BaseException:
        IMPORTS.go_back(former)
        raise


def _build(recipe: Recipe, job: Job, state_path: str, state: dict[str, Any] | None, example: Example | None) -> Built:
    started = time.monotonic()
    for option, seed in (("--seed", recipe.seed), ("--init-seed", recipe.construction_seed)):
        if not -(2**63) <= seed < 2**63:
            raise error("usage", f"The seed {seed} does not fit 64 bits.", option, "Choose a smaller one.")
    captured_as = captured.expanded(recipe)
    recipe, told = captured_as.recipe, captured_as.notes
    job.progress("importing the model")
    with generators_kept(recipe.construction_seed):
        resolved = IMPORTS.resolve(recipe, captured_as.sources)
        notes = _slow("ran", resolved.file or recipe.target, time.monotonic() - started)
        checkpoint: weights.Checkpoint | None = None
        fill: Strict | Values | None = None
        size = 0
        if state is not None:
            fill, size = Values(state), sum(tensor.nbytes for tensor in state.values())
        elif state_path or (recipe := _with_own_weights(recipe)).weights:
            job.progress("reading the weights")
            # a saved state stands in for the weights: its digest would say nothing about their file
            checkpoint = weights.read(state_path or absolute(recipe, recipe.weights), hashed=not state_path)
            notes += checkpoint.notes
            fill, size = (
                Values(checkpoint.tensors) if state_path else Strict(checkpoint, recipe.repair),
                # a captured object holds its parameters itself: they must be filled, not replaced
                checkpoint.signature[1] if captured_as.sources is None else 0,
            )
        job.progress("building the model")
        frugal = size >= META_FROM and not isinstance(resolved.object, nn.Module)
        filled = construct(lambda: instantiate(resolved, recipe), fill, frugal)
        notes += told + filled.notes + _about(filled.model)
        job.progress("finding the inputs")
        if recipe.init_seed is not None:
            torch.manual_seed(recipe.seed)  # inputs that the file itself draws are this seed's
        example = example or find_example(recipe, filled.model, resolved)
        notes += [f"inputs: {example.words}"] if example.words else []
        notes += [example.left] if example.left else []
        notes += _give_shapes(filled.model, example, recipe.seed)
    given = ("", "")
    if checkpoint is not None:
        checkpoint.tensors = {}
        given = (absolute(recipe, recipe.weights), checkpoint.digest.known if checkpoint.digest else "")
    seconds = time.monotonic() - started
    info = describe(recipe, filled.model, example, (resolved.file, resolved.sha256), given, seconds, tuple(notes))
    return Built(filled.model, example, info, resolved.sources, resolved, recipe, checkpoint)


def _with_own_weights(recipe: Recipe) -> Recipe:
    """A directory of transformers' brings its weights along, unless others were named."""
    own = packages.directory_of(recipe.target, recipe.directory)
    if recipe.weights or not own or not packages.holds_weights(own):
        return recipe
    return dataclasses.replace(recipe, weights=own)


def instantiate(resolved: Resolved, recipe: Recipe) -> nn.Module:
    """Call the class or factory, or take the instance. Raises `WorkbenchError("model")`."""
    named, where = resolved.object, resolved.file or recipe.target
    if isinstance(named, nn.Module):
        if recipe.kwargs:
            message = f"{resolved.name} is an instance; it takes no arguments."
            raise error("usage", message, "--kwargs", "Leave out --kwargs, or name the class.")
        if resolved.module.__name__ not in resolved.modules:
            # an installed package is not imported afresh: its own instance stays as it is, where it can be copied
            with contextlib.suppress(Exception):  # __deepcopy__ may raise anything
                return copy.deepcopy(named)
        return named
    if not callable(named):
        message = f"{resolved.name} is {with_article(type(named).__name__)}, no nn.Module class, factory or instance."
        raise error("model", message, where, _offer(resolved))
    check_arguments(resolved, recipe)
    try:
        model = named(**recipe.kwargs)
    except (Exception, SystemExit) as problem:
        known = explain(problem)
        if known.kind == "memory":
            remedy = "Give its constructor smaller sizes with --kwargs, or go where there is more memory."
            known = dataclasses.replace(known, remedy=remedy)
        if known.kind in ("device", "memory"):
            raise WorkbenchError(known) from problem
        what = f"{resolved.name} raised while it was constructed"
        raise failed_in(problem, "model", what, where, mistyped(resolved, recipe)) from problem
    if not isinstance(model, nn.Module):
        message = f"{resolved.name}() made {with_article(type(model).__name__)}, no nn.Module."
        raise error("model", message, where, _offer(resolved))
    return model


def find_example(recipe: Recipe, model: nn.Module, resolved: Resolved) -> Example:
    """The example inputs of a model that was built from this recipe. Raises `WorkbenchError("inputs")`."""
    own = getattr(resolved.module, "example_inputs", None)
    try:
        return example_from(recipe, model, own)
    except (WorkbenchError, MemoryError):
        raise
    except (Exception, SystemExit) as problem:
        what = "The example inputs could not be made"
        raise failed_in(problem, "inputs", what, resolved.file, "Give them with --input 'x=float32[4,…]'.") from problem


def _about(model: nn.Module) -> list[str]:
    words = tied(model)
    return words if len(words) <= 3 else [f"{len(words)} parameters are tied to others: {words[0]} …"]


def _give_shapes(model: nn.Module, example: Example, seed: int) -> list[str]:
    """Lazy modules have no parameters before a forward: one is made here, in eval under no_grad, so that everything
    after it finds an ordinary model. Raises `WorkbenchError` with what it raises."""
    lazy = unset_tensors(model)
    if not lazy:
        return []
    before = flags(model)
    args, kwargs = example.sample(seed)
    set_flags(model, False, ())
    try:
        with torch.no_grad():
            model(*args, **kwargs)
    except (Exception, SystemExit) as problem:
        raise WorkbenchError(explain(problem, model, args, kwargs)) from problem
    finally:
        set_flags(model, *before)
    return [f"{some(lazy)} got {'its' if len(lazy) == 1 else 'their'} shape from one forward on the example inputs"]


def _slow(verb: str, what: str, seconds: float) -> list[str]:
    return [f"{verb} {os.path.basename(what)}: {seconds:.1f} s"] if seconds >= 0.5 else []


def _offer(resolved: Resolved) -> str:
    classes = module_classes(resolved.module)
    return f"nn.Module classes there: {some(classes, 8)}." if classes else "Name a class, a factory or an instance."
