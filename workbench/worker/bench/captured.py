"""A capture as a recipe: its factory, its state and its samples, once somebody said that its code may run."""

from __future__ import annotations

import dataclasses
import os
from dataclasses import dataclass

from workbench.protocol.captures import CODE, FACTORY, SAMPLES, SOURCE, STATE, checked_code, is_capture, read_capture
from workbench.protocol.failures import error
from workbench.protocol.model import Recipe


@dataclass(frozen=True)
class Expanded:
    """What a recipe stands for."""

    recipe: Recipe
    notes: list[str]
    """Worth knowing of a capture."""
    sources: dict[str, bytes] | None = None
    """Absolute path → bytes of the code that somebody said yes to, which is run as it was read; None for a recipe
    whose code is imported from where it lies."""


def expanded(recipe: Recipe) -> Expanded:
    """The recipe that a capture stands for; any other recipe as it is.

    What the recipe says itself counts more: other weights, other inputs. Raises `WorkbenchError` ("trust" for code that
    nobody said yes to or that changed since, "load" for a capture that cannot be built).
    """
    path = os.path.abspath(os.path.join(recipe.directory, os.path.expanduser(recipe.target)))
    if ":" in recipe.target or not is_capture(path):
        return Expanded(recipe, [])
    capture = read_capture(path)
    if recipe.trusted != capture.sha256:
        raise error(
            "trust",
            f"{recipe.target} is a capture: opening it runs the source that was recorded, and nobody trusted it yet.",
            recipe.target,
            f"If you know where it comes from: --trust sha256:{capture.sha256}",
        )
    if not capture.source:
        message = f"The model in {recipe.target} cannot be built: {capture.why or 'its source is not there'}."
        raise error("load", message, recipe.target, "Open its class, with the state and the samples of the capture: "
                    f"file.py:{capture.name} --weights {path}/{STATE} --inputs {path}/{SAMPLES}")  # fmt: skip
    if not capture.whole_state and not recipe.weights:
        message = f"{recipe.target} was cut short before the values of its model were written: they were too large."
        raise error("load", message, recipe.target, "Give them: --weights FILE, or close the capture in the program.")
    sources = checked_code(capture)
    if os.path.join(path, CODE, SOURCE) not in sources:
        message = f"{recipe.target} names no {CODE}/{SOURCE} among its code."
        raise error("load", message, recipe.target, "Capture it again.")
    samples = (os.path.join(path, SAMPLES),) if capture.samples else ()
    made = dataclasses.replace(
        recipe,
        target=f"{os.path.join(path, CODE, SOURCE)}:{FACTORY}",
        weights=recipe.weights or os.path.join(path, STATE),
        inputs_files=recipe.inputs_files or samples,
    )
    return Expanded(made, [f"captured: {note}" for note in capture.notes], sources)
