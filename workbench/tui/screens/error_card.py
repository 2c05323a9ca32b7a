"""What went wrong, where, and what to press next. The traceback is one key further, never the first thing."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType

from workbench.protocol.failures import Failure

from .dialog import Dialog, words

HEADINGS = {
    "usage": "That cannot be done",
    "exists": "It is there already",
    "load": "It could not be loaded",
    "model": "The model could not be built",
    "weights": "The weights do not fit",
    "artifact": "The artifact could not be loaded",
    "forward": "The model did not run",
    "inputs": "The inputs do not fit",
    "device": "That device is not here",
    "memory": "Out of memory",
    "engine": "The engine",
    "timeout": "Out of time",
    "trust": "Not trusted",
    "write": "It could not be written",
    "verdict": "The proof says no",
    "export": "It could not be exported",
    "internal": "An error of the workbench itself",
}
"""A card's title by the kind of its failure."""


class ErrorCard(Dialog[bool]):
    """One failure. `t` turns its details on and off."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("t", "details", "details", show=False),
        Binding("c", "copy", "copy", show=False),
        Binding("enter,q", "close", "close", show=False),
    ]

    def __init__(self, failure: Failure) -> None:
        super().__init__(classes="-danger")
        self.failure = failure
        self.heading = HEADINGS.get(failure.kind, failure.kind)
        self.hint = "t traceback · c copy · esc closes" if failure.details else "c copy · esc closes"

    def content(self) -> ComposeResult:
        yield words(self.failure.message, "strong gap", id="message")
        if self.failure.where:
            yield words(f"where   {self.failure.where}", "gap dim", id="where")
        if self.failure.remedy:
            yield words(f"next    {self.failure.remedy}", "gap good", id="remedy")
        details = words(self.failure.details, "gap dim", id="details")
        details.display = False
        yield details

    def action_details(self) -> None:
        """Show or hide the traceback."""
        details = self.query_one("#details")
        details.display = bool(self.failure.details) and not details.display

    def action_copy(self) -> None:
        """Everything that is known, onto the clipboard."""
        failure = self.failure
        parts = (failure.message, failure.where, failure.remedy, failure.details)
        self.app.copy_to_clipboard("\n".join(part for part in parts if part))
