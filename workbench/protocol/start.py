"""The first request of all, in a module of its own: it is sent before the rest of the protocol is imported."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Start:
    """Start the bench worker, or a fresh one in the place of the old. Result: `WorkerReady`."""

    python: str = ""
    """Interpreter for it; empty: the supervisor's own."""
    attended: bool = False
    """Somebody sits there: a `breakpoint()` is theirs to answer, else it is passed over; and their keys come before the
    work of workers, which else yield to nobody."""
