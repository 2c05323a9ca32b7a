"""A pane that is made whole from a record: diff, memory. It owns when its lines are made again, and no more."""

from __future__ import annotations

from workbench.tui.draw.spans import Line
from workbench.tui.panes.line_pane import LinePane


class DocumentPane(LinePane):
    """Lines made at once by `make_lines`, kept until `changed` is called or the size is another."""

    def __init__(self, *, id: str | None = None, classes: str | None = None, unicode: bool = True) -> None:
        super().__init__(id=id, classes=classes, unicode=unicode)
        self._made: list[Line] = []
        self._made_for: tuple[int, int] | None = None

    def make_lines(self, width: int, height: int) -> list[Line]:
        """Every line of the document, for a pane that shows `height` of them."""
        raise NotImplementedError

    def changed(self) -> None:
        """What the lines are made from is another."""
        self._made_for = None
        self.redraw()

    def body_length(self, width: int) -> int:
        size = (width, self.size.height)
        if self._made_for != size:
            self._made, self._made_for = self.make_lines(*size), size
        return len(self._made)

    def body_line(self, index: int, width: int) -> Line:
        return self._made[index]
