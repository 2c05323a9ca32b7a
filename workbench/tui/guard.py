"""The last guard between a string and the terminal, at the level of segments.

Strings are cleaned where they are decoded. This file is the second line: whatever was overlooked on
the way is made visible here, just before it is painted. It must never be the only line, because a
string that grows while it is painted no longer fits its column.
"""

from __future__ import annotations

from rich.segment import Segment
from textual.color import Color
from textual.filter import LineFilter

from workbench.protocol.text import clean_line


def guarded(text: str) -> str:
    """`text` with everything that could steer a terminal made visible; the usual case costs 0.1 µs."""
    if text.isascii() and text.isprintable():
        return text
    return clean_line(text)


class ControlGuard(LineFilter):
    """The same guard for widgets that are not ours: give it to an app's `get_line_filters`."""

    def apply(self, segments: list[Segment], background: Color) -> list[Segment]:
        """The same segments, those with control characters replaced."""
        found = None
        for position, (text, style, control) in enumerate(segments):
            if control or (text.isascii() and text.isprintable()):
                continue
            safe = clean_line(text)
            if safe != text:
                found = list(segments) if found is None else found
                found[position] = Segment(safe, style)
        return segments if found is None else found
