"""A card with lines to read and, if wanted, one text to copy."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import ClassVar, NamedTuple

from textual.app import ComposeResult
from textual.binding import Binding, BindingType

from .dialog import FRAME, WIDTH, Dialog, words


class Told(NamedTuple):
    """A paragraph: its style (classes of a dialog), its words, and how far its further lines are indented."""

    style: str
    text: str
    indent: int = 0


class TextCard(Dialog[bool]):
    """Paragraphs; `copy` is what `c` puts on the clipboard."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter,q", "close", "close", show=False),
        Binding("c", "copy", "copy", show=False),
        Binding("down,j", "scroll(2)", "down", show=False),
        Binding("up,k", "scroll(-2)", "up", show=False),
    ]

    def __init__(
        self, heading: str, paragraphs: Sequence[tuple[str, str] | Told], copy: str = "", danger: bool = False
    ) -> None:
        super().__init__(classes="-danger" if danger else "")
        self.heading = heading
        self._paragraphs, self._copy = [Told(*paragraph) for paragraph in paragraphs], copy
        self.hint = "c copies · esc closes" if copy else "esc closes"

    def content(self) -> ComposeResult:
        width = min(WIDTH, self.app.size.width * 96 // 100) - FRAME
        for style, text, indent in self._paragraphs:
            lines = [textwrap.fill(line, width, subsequent_indent=" " * indent) for line in text.split("\n")]
            yield words("\n".join(lines) if indent else text, style)

    def action_copy(self) -> None:
        if self._copy:
            self.app.copy_to_clipboard(self._copy)
            self.query_one("#card").border_subtitle = "copied · esc closes"

    def action_scroll(self, lines: int) -> None:
        self.query_one("#card").scroll_relative(y=lines, animate=False)
