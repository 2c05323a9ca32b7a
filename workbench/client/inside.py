"""Looking inside the model on the bench: verbs of a session for one module, for the console, and for a paused run."""

from __future__ import annotations

from workbench.protocol.inside import Complete, Completions, Evaluate, Evaluated, Inside, LookInside

from .conversation import Conversation


async def look_inside(session: Conversation, path: str) -> Inside:
    """One module, its source and what went through it in the last run; "" is the root."""
    return await session.request(LookInside(path))  # type: ignore[no-any-return]


async def evaluate(session: Conversation, text: str, timeout: float = 0.0) -> Evaluated:
    """A line of Python: in the frame of the run that stands still, else on the bench."""
    return await session.request(Evaluate(text, _pause(session)), timeout)  # type: ignore[no-any-return]


async def complete(session: Conversation, line: str) -> Completions:
    """How a line could go on."""
    return await session.request(Complete(line, _pause(session)))  # type: ignore[no-any-return]


def _pause(session: Conversation) -> int:
    paused = session.state.paused
    return paused.event.number if paused is not None else 0
