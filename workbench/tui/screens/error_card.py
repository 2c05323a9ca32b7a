"""What went wrong, where, and what to press next. The traceback is one key further, never the first thing."""

from __future__ import annotations

import re
from collections.abc import Callable
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


_KEYS = (
    (re.compile(r"--inputs? '([^']*)'"), r"\1"),
    (re.compile(r"\bone --input\b"), "one input"),
    (re.compile(r"--inputs?\b"), "inputs"),
    (re.compile(r"--kwargs\b"), "arguments"),
    (re.compile(r"workbench convert \S+ --out \S+"), "y"),
    (re.compile(r"Take it: --repair (auto|yes)"), "y takes it"),
    (re.compile(r"--weights\b"), "weights"),
    (re.compile(r"--dtype (\w+)"), r"D (\1)"),
    (re.compile(r"--device (\w+)"), r"C (\1)"),
    (re.compile(r"--grad (\w+)"), r"g (\1)"),
)
"""Options of the command line, and what stands for them in the app: fields of the open screen, or keys."""


def with_keys(text: str) -> str:
    """A remedy that names options of the command line, in the words of the app."""
    for option, words_here in _KEYS:
        text = option.sub(words_here, text)
    return text


def remedy_here(failure: Failure) -> str:
    """The remedy of a failure with keys in the place of options; what belongs to the opening is given with o."""
    told = with_keys(failure.remedy)
    again = [word for word in ("input", "kwargs", "weights") if f"--{word}" in failure.remedy]
    if not again:
        return told
    things = {"input": "inputs", "kwargs": "arguments", "weights": "weights"}[again[0]]
    bench = ", N changes those of the bench" if again[0] == "input" else ""
    return f"{told.rstrip()}{'' if told.rstrip().endswith('.') else '.'} o opens it with other {things}{bench}."


class ErrorCard(Dialog[bool]):
    """One failure. `t` turns its traceback on and off; a whole difference of weights is there at once."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("t", "details", "details", show=False),
        Binding("down,j", "scroll(2)", "down", show=False),
        Binding("up,k", "scroll(-2)", "up", show=False),
        Binding("pagedown", "scroll(10)", "page down", show=False),
        Binding("pageup", "scroll(-10)", "page up", show=False),
        Binding("c", "copy", "copy", show=False),
        Binding("y", "yes", "yes", show=False),
        Binding("enter,q", "close", "close", show=False),
    ]

    def __init__(self, failure: Failure, repair: Callable[[], None] = lambda: None) -> None:
        """`repair` is called when the repair or the conversion that the failure offers is accepted."""
        super().__init__(classes="-danger")
        self.failure, self._repair = failure, repair
        self.heading = HEADINGS.get(failure.kind, failure.kind)
        word = "traceback" if failure.details.startswith("Traceback") else "details"
        keys = f"t {word} · c copy · esc closes" if failure.details else "c copy · esc closes"
        offer = "y repairs the names · " if failure.repair else "y converts it, after a question · "
        keys = f"{offer}{keys}" if failure.repair or failure.convert else keys
        self.hint = f"↑↓ scroll · {keys}" if failure.difference else keys

    def content(self) -> ComposeResult:
        yield words(self.failure.message, "strong gap", id="message")
        if self.failure.where:
            yield words(f"where   {with_keys(self.failure.where)}", "gap dim", id="where")
        if self.failure.remedy:
            yield words(f"next    {remedy_here(self.failure)}", "gap good", id="remedy")
        if self.failure.difference:
            yield words(self.failure.difference, "gap", id="difference")
        details = words(self.failure.details, "gap dim", id="details")
        details.display = False
        yield details

    def action_details(self) -> None:
        """Show or hide the traceback."""
        details = self.query_one("#details")
        details.display = bool(self.failure.details) and not details.display

    def action_yes(self) -> None:
        """Take what is offered."""
        if self.failure.repair or self.failure.convert:
            self.dismiss(None)
            self._repair()

    def action_scroll(self, lines: int) -> None:
        self.query_one("#card").scroll_relative(y=lines, animate=False)

    def action_copy(self) -> None:
        """Everything that is known, onto the clipboard."""
        failure = self.failure
        parts = (failure.message, failure.where, failure.remedy, failure.difference, failure.details)
        self.app.copy_to_clipboard("\n".join(part for part in parts if part))
