"""The transcript of the console as lines: at its end, unless somebody has scrolled back and nothing came since."""

from __future__ import annotations

from rich.cells import chop_cells

from workbench.tui.draw.spans import Line, wrapped
from workbench.tui.panes.document_pane import DocumentPane
from workbench.tui.transcript import Transcript

PROSE = ("dim", "warn")
"""Styles of lines that are sentences of ours: broken between words."""


class TranscriptPane(DocumentPane, can_focus=False):
    """The transcript, at its end unless somebody has scrolled back."""

    DEFAULT_CSS = "TranscriptPane { height: 1fr; border: none; &:ansi { border: none; } &.-ascii { border: none; } }"

    def __init__(self, transcript: Transcript, *, unicode: bool) -> None:
        super().__init__(id="transcript", unicode=unicode)
        self._transcript = transcript
        self._seen = -1

    def make_lines(self, width: int, height: int) -> list[Line]:
        lines: list[Line] = []
        for text, style in self._transcript.lines:
            if style in PROSE:
                lines += wrapped(text, width, style, indent="  ")
                continue
            parts = [text[at : at + width] for at in range(0, len(text), width)] if text.isascii() else []
            lines += [((part, style),) for part in parts or chop_cells(text, width) or [""]]
        return lines

    def look(self) -> None:
        """When something was added, go to the end."""
        if self._seen != self._transcript.added:
            self._seen = self._transcript.added
            self._top = 1 << 30
            self.changed()
