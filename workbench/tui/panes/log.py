"""The log pane: what the workers print, bounded, following its end unless somebody reads further up."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import ClassVar

from textual.binding import BindingType

from workbench.tui.draw.spans import Line, fit
from workbench.tui.panes.line_pane import LinePane, pane_key

MOST_LINES = 2_000

ROLE = 10
"""Cells of the role's column."""

SHIFT = 20
"""Cells that left and right move a line too long for the pane."""


class LogPane(LinePane):
    """Lines with the role of the process that wrote them."""

    BINDINGS: ClassVar[list[BindingType]] = [
        pane_key("left", f"shift(-{SHIFT})", "Left", tooltip="Show the beginning of long lines"),
        pane_key("right", f"shift({SHIFT})", "Right", tooltip="Show the rest of long lines"),
    ]

    BORDER_TITLE = "6 log"

    def __init__(self, *, id: str | None = None, classes: str | None = None, unicode: bool = True) -> None:
        super().__init__(id=id, classes=classes, unicode=unicode)
        self._log: deque[tuple[str, str]] = deque(maxlen=MOST_LINES)
        self._shift = 0

    def add(self, role: str, lines: Iterable[str]) -> None:
        """What a process wrote."""
        follows = self.at_end()
        before = len(self._log)
        added = 0
        for text in lines:
            for part in text.split("\n"):
                self._log.append((role, part.expandtabs(4)))
                added += 1
        if follows:
            self._top = len(self._log)
        else:  # keep what is being read where it is while old lines go
            self._top = max(0, self._top - max(0, before + added - MOST_LINES))
        self.redraw()

    def clear(self) -> None:
        """Forget every line."""
        self._log.clear()
        self._top = self._shift = 0
        self.redraw()

    def body_length(self, width: int) -> int:
        return len(self._log) or 1

    def body_line(self, index: int, width: int) -> Line:
        if not self._log:
            return (("nothing printed yet", "dim"),)
        role, text = self._log[index]
        return ((fit(role, ROLE), "dim"), (" " + text[self._shift :], ""))

    def action_shift(self, by: int) -> None:
        longest = max((len(text) for _, text in self._log), default=0)
        self._shift = max(0, min(self._shift + by, longest - SHIFT))
        self.redraw()
