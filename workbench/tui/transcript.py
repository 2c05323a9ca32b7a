"""What was typed at the console and what came of it: bounded, kept while the screen is closed. No Textual here."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

MOST_LINES = 5_000
"""Lines that are kept, the newest."""
MOST_HISTORY = 500
"""Entries that up and down go through."""


class Transcript:
    """Lines with a style, and the history of what was typed."""

    def __init__(self) -> None:
        self.lines: deque[tuple[str, str]] = deque(maxlen=MOST_LINES)
        """(text, style name)."""
        self.added = 0
        """Grows with everything that is added, and when it is cleared."""
        self.history: deque[str] = deque(maxlen=MOST_HISTORY)
        self.changed: Callable[[], None] | None = None
        """Called after every change while somebody looks."""

    def add(self, text: str, style: str = "") -> None:
        """A text of one or several lines."""
        if text:
            self.lines.extend((line.expandtabs(4), style) for line in text.split("\n"))
            self.added += 1
            self.touch()

    def clear(self) -> None:
        """Forget the lines, and keep the history."""
        self.lines.clear()
        self.added += 1
        self.touch()

    def typed(self, prompt: str, text: str) -> None:
        """An entry as it was typed, with its prompt; further lines stand under the first."""
        first, *rest = text.rstrip("\n").split("\n")
        self.add(f"{prompt} {first}", "strong")
        for line in rest:
            self.add(f"{'…':>{len(prompt)}} {line}", "strong")
        if not self.history or self.history[-1] != text:
            self.history.append(text)

    def touch(self) -> None:
        """Somebody may want to look again."""
        if self.changed is not None:
            self.changed()


def wants_more(text: str) -> bool:
    """Whether an entry is not finished: a block that was opened, a bracket or a string that was not closed."""
    if text.endswith("\n"):
        return False
    import codeop  # not wanted before something was typed
    import warnings

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return codeop.compile_command(text, "<console>", "single") is None
    except (SyntaxError, ValueError, OverflowError):
        return False
