"""The question before code of a stranger's runs: asked once for the same bytes, remembered in the user's own store."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from workbench.client.captures import fingerprint_of
from workbench.client.trust import TrustStore, allowed, refusal

from .screens.ask import Confirm

if TYPE_CHECKING:
    from workbench.protocol.artifacts import Fingerprint
    from workbench.protocol.model import Recipe

    from .desk import Desk


async def trusts(desk: Desk, fingerprint: Fingerprint) -> bool:
    """Whether the person lets it run code, now or from an earlier yes."""
    store = TrustStore()
    if allowed(fingerprint, store):
        return True
    about = f"{fingerprint.kind} · {fingerprint.trust}"
    told = [
        fingerprint.path,
        f"{about}: loading it can run code of whoever made it, with all your rights.",
        f"sha256 {fingerprint.sha256}",
        "If you know where it comes from, y trusts exactly these bytes from now on.",
    ]
    if not await desk.ask(Confirm(f"{fingerprint.trust}: trust it?", told)):
        return False
    store.remember(fingerprint, "asked")
    return True


async def with_yes(desk: Desk, recipe: Recipe) -> Recipe:
    """The recipe with the digest that was said yes to, for a capture. Raises `WorkbenchError("trust")` after a no."""
    fingerprint = fingerprint_of(recipe)
    if fingerprint is None or recipe.trusted == fingerprint.sha256:
        return recipe
    if not await trusts(desk, fingerprint):
        raise refusal(fingerprint)
    return dataclasses.replace(recipe, trusted=fingerprint.sha256)
