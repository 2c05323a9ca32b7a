"""The bench's model compared with another one, or with itself under another setting, in a worker of its own.

Owns what the second side is. The bench lends its parameters as they are now, and is otherwise not asked.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable

from workbench.protocol.compare import Compare, Compared, Pin, Side
from workbench.protocol.failures import error
from workbench.protocol.model import ModeChange, Modes, Recipe

from .session import Aside, Session, complete

Other = Callable[[Side], Side]
"""What B is, given A."""


def with_change(change: ModeChange) -> Other:
    """The same model with other switches."""
    return lambda a: dataclasses.replace(a, changes=(*a.changes, change))


def with_weights(path: str) -> Other:
    """The same architecture with another weights file."""
    return lambda a: dataclasses.replace(a, recipe=dataclasses.replace(a.recipe, weights=path), state="")


def with_model(target: str, trusted: str = "") -> Other:
    """Another model as constructed, or as a capture has it (`trusted`: its digest), in the same modes; which of its
    modules are otherwise is not asked for."""

    def other(a: Side) -> Side:
        same = a.recipe
        recipe = Recipe(target, seed=same.seed, init_seed=same.init_seed, trusted=trusted, directory=same.directory)
        return Side(recipe, tuple(dataclasses.replace(change, flips=None) for change in a.changes))

    return other


async def compare(
    session: Session, other: Other, tolerance: float = 0.0, aside: Aside = contextlib.nullcontext
) -> Compared:
    """The bench's model as it is now, and what `other` makes of it, on the same inputs.

    `aside` is entered while the bench writes its parameters. Raises `WorkbenchError`.
    """
    recipe, modes = session.state.recipe, session.state.modes or Modes()
    if recipe is None:
        raise error("usage", "No model is open.", remedy="Open one with o.")
    async with session.saved_state(0.0, aside) as state:
        a = Side(recipe, (dataclasses.replace(complete(modes), keep_outputs=False),), state)
        return await session.request(Compare(a, other(a), tolerance, session.python))  # type: ignore[no-any-return]


async def pin(session: Session, run: int, pinned: bool) -> None:
    """Keep a run's output whatever comes after it, or let it go its way again."""
    await session.request(Pin(run, pinned))
