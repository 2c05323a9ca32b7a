"""The first request of all, in a module of its own: it is sent before the rest of the protocol is imported."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Start:
    """Start the bench worker, or a fresh one in the place of the old. Result: `WorkerReady`."""

    python: str = ""
    """Interpreter for it; empty: the supervisor's own."""
    attended: bool = False
    """Somebody sits there who can answer a `breakpoint()`; else it is passed over."""
