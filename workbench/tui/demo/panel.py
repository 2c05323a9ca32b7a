"""The narration: which step, what it is about, what to press, and what came of it."""

from __future__ import annotations

from workbench.tui.draw.spans import Line, wrapped
from workbench.tui.panes.document_pane import DocumentPane

from .scene import Claim


class StoryPanel(DocumentPane, can_focus=False):
    """A few lines above the keys."""

    DEFAULT_CSS = """
    StoryPanel { height: 7; border: round $accent; background: $background; }
    StoryPanel.-ascii { border: ascii $accent; }
    """

    def __init__(self, unicode: bool = True) -> None:
        super().__init__(id="story", unicode=unicode)
        self._words, self._ask, self._next = "", "", ""
        self._claim: Claim | None = None

    def tell(self, title: str, words: str, ask: str) -> None:
        """A new step."""
        self.border_title = title
        self._words, self._ask, self._claim, self._next = words, ask, None, ""
        self._top = 0
        self.changed()

    def judge(self, claim: Claim, onward: str) -> None:
        """What was measured, and how to go on."""
        self._claim, self._next = claim, onward
        self.changed()

    def make_lines(self, width: int, height: int) -> list[Line]:
        lines = wrapped(self._words, width)
        if self._claim is None:
            return [*lines, *(wrapped("→ " + self._ask, width, "accent") if self._ask else [])]
        sign, style = ("✓ ", "good") if self._claim.held else ("✗ This did not hold: ", "bad")
        told = wrapped(sign + self._claim.words, width, style, indent="  ")
        onward = wrapped(self._next, width, "dim") if self._next else []
        room = height - len(onward)
        return [*(lines if len(lines) + len(told) <= room else []), *told, *onward]
