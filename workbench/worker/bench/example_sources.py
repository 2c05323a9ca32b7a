"""Where the example inputs of a model come from: specs that were given, files, the model file's own
`example_inputs()`, or inference from the first layers.

Owns which of them counts for which argument. It never runs a model's forward by itself (`infer.py` may).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from torch import nn

from workbench.protocol.failures import WorkbenchError, error
from workbench.protocol.model import FROM_MODEL, FROM_SPEC, INFERRED, Recipe
from workbench.worker.bench.arguments import Argument, named
from workbench.worker.bench.failing import failed_in
from workbench.worker.bench.given import Given
from workbench.worker.bench.inputs import Example
from workbench.worker.bench.signature import Forward

_OWN = "example_inputs()"
_REMEDY = "Mend it, or give the inputs with --input 'x=float32[4,…]'."


def example_from(recipe: Recipe, model: nn.Module, own: Any = None) -> Example:
    """The example inputs of `model`: given, from a file, its file's own (`own`, called), or inferred.

    What a spec says counts more than what a file or `own` says of the same argument; the others come from there. `own`
    that is of no use for this model is left aside where there is another way, and `Example.left` says why.
    Raises `WorkbenchError("inputs")` when a given one does not read or fit forward's signature, or when none was
    given and none can be inferred; then it names each argument that is wanted.
    """
    forward = Forward.of(model)
    given = Given.read(recipe.inputs)
    if recipe.inputs_files:
        return _from_files(recipe, forward, given)
    left = ""
    if callable(own) and (forward.lacks(list(given.arguments)) or not given.arguments):
        made = _from_own(own, recipe, forward, given)
        if isinstance(made, Example):
            return made
        left = made
    try:
        arguments = given.alone if given.arguments else _inferred(recipe, model, forward)
        example = Example(forward.arrange(arguments), recipe.seed)
    except WorkbenchError as problem:
        if not left:
            raise
        failure = problem.failure
        told = dataclasses.replace(failure, message=f"{left} {failure.message}")
        raise WorkbenchError(told) from problem
    example.left = left
    _one_size_each(example)
    return example


def _inferred(recipe: Recipe, model: nn.Module, forward: Forward) -> list[Argument]:
    from workbench.worker.bench.infer import infer

    found = infer(model, forward, recipe.seed)
    return [Argument(spec.name, spec, None, origin, source=INFERRED) for spec, origin in found]


def _from_files(recipe: Recipe, forward: Forward, given: Given) -> Example:
    """The real samples of files, with what specs say of the other arguments."""
    from workbench.worker.bench.input_files import find_files
    from workbench.worker.bench.samples import Samples

    samples = Samples(find_files(recipe.inputs_files, recipe.directory))

    def sample(at: int) -> list[Argument]:
        origin = samples.origin(at)
        try:
            own = forward.named(named(samples[at], origin))
        except WorkbenchError as problem:
            if problem.failure.where != "--input":
                raise
            message = f"The inputs {origin} do not fit: {problem.failure.message}"
            raise error("inputs", message, "--inputs", problem.failure.remedy) from problem
        return given.over(own)

    count = len(samples) if any(one.source != FROM_SPEC for one in forward.arrange(sample(0))) else 1
    return _of_samples(recipe, forward, sample, count, samples.words)


def _from_own(own: Callable[[], Any], recipe: Recipe, forward: Forward, given: Given) -> Example | str:
    """What `example_inputs()` gives: one sample, or a list of dicts or tuples that are one each; or why it is no use.

    Raises `WorkbenchError("inputs")` when it fails and nothing else was given.
    """
    try:
        content = own()
    except MemoryError:
        raise
    except (Exception, SystemExit) as problem:
        failed = failed_in(problem, "inputs", f"The model file's {_OWN} failed", _OWN, _REMEDY)
        if not given.arguments:
            raise failed from problem
        return failed.failure.message
    several = isinstance(content, list) and content and all(isinstance(one, (dict, tuple)) for one in content)
    samples = content if several else [content]
    placed = dataclasses.replace(given, arguments=tuple(forward.named(list(given.arguments))))
    origin = f"from {_OWN}"

    def sample(at: int) -> list[Argument]:
        return placed.over(forward.named(named(samples[at], origin, FROM_MODEL)))

    try:
        return _of_samples(recipe, forward, sample, len(samples), f"{len(samples)} samples {origin}")
    except WorkbenchError as problem:
        return f"The model file's {_OWN} does not fit this model: {problem.failure.message}"


def _of_samples(
    recipe: Recipe, forward: Forward, sample: Callable[[int], list[Argument]], count: int, words: str
) -> Example:
    first = forward.arrange(sample(0))

    def arguments(number: int) -> tuple[Argument, ...]:
        found = forward.arrange(sample(number))
        if [one.name for one in found] != [one.name for one in first]:
            message = f"Sample {number} ({found[0].origin if found else ''}) has other arguments than the first."
            raise error("inputs", message, "--inputs", "Give every sample the same names.")
        return found

    example = Example(first, recipe.seed, arguments if count > 1 else None, count)
    example.words = words if count > 1 else ""
    _one_size_each(example)
    return example


def _one_size_each(example: Example) -> None:
    """A dynamic dimension that appears twice must have one size. Raises `WorkbenchError("inputs")`."""
    sizes: dict[str, tuple[int, str]] = {}
    for spec in example.specs:
        for dim in spec.dynamic:
            size, text = sizes.setdefault(dim.name, (spec.shape[dim.axis], spec.text))
            if size != spec.shape[dim.axis]:
                message = f"The dimension {dim.name} has other ranges in {text} and in {spec.text}."
                raise error("inputs", message, "--input", "Write the same range in both.")
