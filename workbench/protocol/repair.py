"""Names of a weights file that do not fit a model: what is asked, and the map that was found."""

from __future__ import annotations

from dataclasses import dataclass

from .model import Recipe


@dataclass(frozen=True)
class RepairWeights:
    """Find the map from the names of `recipe.weights` to those of `recipe`'s model. Result: `Repaired`."""

    recipe: Recipe
    out: str = ""
    """Where the renamed state_dict is written (.safetensors, or what torch.save writes); empty: nowhere."""
    python: str = ""
    timeout: float = 0.0


@dataclass(frozen=True)
class Repaired:
    """A map of names, and how far it goes."""

    words: str
    """"0 of 161 → 161 of 161 after removing 'module._orig_mod.'; all shapes agree"."""
    before: int
    """Names of the model that fitted as the file is."""
    after: int
    total: int
    """Names that the model has."""
    names: tuple[tuple[str, str], ...]
    """(name in the file, name in the model), of those that are renamed; at most 20,000."""
    random: tuple[str, ...]
    """Names of the model that would stay as constructed."""
    unused: tuple[str, ...]
    """Names of the file that go nowhere."""
    shapes: tuple[str, ...]
    """"head.weight [10,8] in the file, [5,8] in the model"."""
    doubt: str
    """Why another map would do as well; empty when there is one alone."""
    code: str
    """Python that does the same."""
    path: str = ""
    """What was written."""
