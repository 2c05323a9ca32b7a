"""Where the sample models lie: inside an installed package, or beside it in a checkout."""

from __future__ import annotations

from pathlib import Path

from workbench.protocol.failures import error
from workbench.protocol.model import Recipe

_PACKAGE = Path(__file__).resolve().parents[2]


def folder() -> Path:
    """The directory of the sample models. Raises `WorkbenchError("load")` when they were left out of the package."""
    for place in (_PACKAGE / "sample_models", _PACKAGE.parent / "sample_models"):
        if (place / "story.py").is_file():
            return place
    raise error("load", "The sample models are not here.", str(_PACKAGE), "Install the workbench from its wheel.")


def recipe(file: str, name: str, weights: str = "", inputs: tuple[str, ...] = ()) -> Recipe:
    """A recipe of one of them; `weights` is a file name in the same directory."""
    place = folder()
    return Recipe(f"{place / file}:{name}", weights=str(place / weights) if weights else "", inputs=inputs)
