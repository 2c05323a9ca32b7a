"""Other inputs for the model on the bench, which stays as it is."""

from __future__ import annotations

from dataclasses import dataclass

from .model import Recipe


@dataclass(frozen=True)
class SetInputs:
    """Give the model on the bench other inputs. Result: `Loaded`; model, modes and runs are as they were."""

    recipe: Recipe
    """That of the bench, with other `inputs`, `inputs_files` or `seed`."""
