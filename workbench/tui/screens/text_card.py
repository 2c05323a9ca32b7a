"""A card with lines to read and, if wanted, one text to copy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType

from .dialog import Dialog, words


class TextCard(Dialog[bool]):
    """Paragraphs as (class, words); `copy` is what `c` puts on the clipboard."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter,q", "close", "close", show=False),
        Binding("c", "copy", "copy", show=False),
        Binding("down,j", "scroll(2)", "down", show=False),
        Binding("up,k", "scroll(-2)", "up", show=False),
    ]

    def __init__(
        self, heading: str, paragraphs: Sequence[tuple[str, str]], copy: str = "", danger: bool = False
    ) -> None:
        super().__init__(classes="-danger" if danger else "")
        self.heading = heading
        self._paragraphs, self._copy = paragraphs, copy
        self.hint = "c copies · esc closes" if copy else "esc closes"

    def content(self) -> ComposeResult:
        for style, text in self._paragraphs:
            yield words(text, style)

    def action_copy(self) -> None:
        if self._copy:
            self.app.copy_to_clipboard(self._copy)
            self.query_one("#card").border_subtitle = "copied · esc closes"

    def action_scroll(self, lines: int) -> None:
        self.query_one("#card").scroll_relative(y=lines, animate=False)
