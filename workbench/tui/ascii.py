"""For terminals without Unicode: the last filter of every line, whatever widget drew it."""

from __future__ import annotations

from rich.segment import Segment
from textual.color import Color
from textual.filter import LineFilter

from workbench.tui.draw.spans import ascii_text

_BLOCKS = dict.fromkeys(range(9600, 9632), "#")
"""Block elements, which scroll bars are drawn with."""


class AsciiOnly(LineFilter):
    """Replaces what such a terminal cannot draw by look-alikes of the same width."""

    def apply(self, segments: list[Segment], background: Color) -> list[Segment]:
        """The same segments in ASCII."""
        return [
            segment
            if segment.control or segment.text.isascii()
            else Segment(ascii_text(segment.text.translate(_BLOCKS)), segment.style)
            for segment in segments
        ]
