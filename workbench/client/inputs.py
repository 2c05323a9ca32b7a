"""Other inputs for the model on the bench, and the former ones again."""

from __future__ import annotations

from workbench.protocol.inputs import SetInputs
from workbench.protocol.messages import Loaded
from workbench.protocol.model import Recipe

from .session import Session


async def set_inputs(session: Session, recipe: Recipe) -> Loaded:
    """Fire on what `recipe` says from now on; it is the bench's own but for inputs, files and seed.

    Raises `WorkbenchError("inputs")` for what forward does not take; the former inputs stay.
    """
    before = session.open_recipe()
    loaded: Loaded = await session.request(SetInputs(recipe))
    session.state.former_inputs.append(before)
    return loaded


async def undo_inputs(session: Session) -> Loaded | None:
    """The inputs before the last change; None when there is nothing to undo."""
    if not session.state.former_inputs:
        return None
    loaded: Loaded = await session.request(SetInputs(session.state.former_inputs[-1]))
    session.state.former_inputs.pop()
    return loaded
