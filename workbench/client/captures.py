"""Whether a capture may be opened: its source is code, so it asks like every other code that somebody sends."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterable

from workbench.protocol.artifacts import Fingerprint
from workbench.protocol.captures import TRUST, is_capture, read_capture
from workbench.protocol.model import Recipe

from .trust import TrustStore, allowed, refusal


def fingerprint_of(recipe: Recipe) -> Fingerprint | None:
    """What a yes to this target would be a yes to; None for a target that is no capture."""
    if ":" in recipe.target or not recipe.target:
        return None
    path = os.path.join(recipe.directory, os.path.expanduser(recipe.target))
    if not is_capture(path):
        return None
    return Fingerprint(path, "capture", read_capture(path).sha256, TRUST)


def brings_its_own(target: str) -> bool:
    """Whether a target of the command line is a capture, which has its weights and the arguments of its class."""
    return fingerprint_of(Recipe(target, directory=os.getcwd())) is not None


def with_yes(
    recipe: Recipe, store: TrustStore | None = None, digests: Iterable[str] = (), allow_code: bool = False
) -> Recipe:
    """The recipe with the digest that was said yes to. Raises `WorkbenchError` ("trust", "load")."""
    fingerprint = fingerprint_of(recipe)
    if fingerprint is None:
        return recipe
    if not allowed(fingerprint, store or TrustStore(), digests, allow_code):
        raise refusal(fingerprint)
    return dataclasses.replace(recipe, trusted=fingerprint.sha256)
