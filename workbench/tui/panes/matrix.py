"""The pane of the mode matrix: a line for each cell as it becomes known, and what is known of the one at the cursor.

It owns the cursor alone. It measures nothing and recommends nothing: all of it comes with the record.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from textual.binding import BindingType
from textual.message import Message

from workbench.tui.draw.matrix_table import Columns, cell_line, columns_for, detail_lines, title_line
from workbench.tui.draw.spans import Line
from workbench.tui.panes.line_pane import LinePane, pane_key

if TYPE_CHECKING:
    from workbench.protocol.matrix import Matrix, MatrixCell

LEAST_ROWS = 6
"""Lines that the table keeps where there is little room; the details have the rest, up to `MOST_DETAILS`."""
MOST_DETAILS = 14


class MatrixPane(LinePane):
    """The table; enter chooses a cell."""

    BINDINGS: ClassVar[list[BindingType]] = [pane_key("enter", "open", "Set the bench to this cell")]

    BORDER_TITLE = "mode matrix"

    HAS_CURSOR = True

    @dataclass
    class Chosen(Message):
        """Enter or a double click on a cell."""

        cell: MatrixCell

    def __init__(self, *, id: str | None = None, classes: str | None = None, unicode: bool = True) -> None:
        super().__init__(id=id, classes=classes, unicode=unicode)
        self._matrix: Matrix | None = None
        self._columns: tuple[int, Matrix | None, Columns] = (-1, None, Columns(()))

    def show(self, matrix: Matrix | None) -> None:
        """Another state of it; None: nothing is known yet."""
        self._matrix = matrix
        self.redraw()

    @property
    def selected(self) -> MatrixCell | None:
        """The cell at the cursor."""
        return self._matrix.cells[self._cursor] if self._matrix is not None and self._matrix.cells else None

    def head_lines(self, width: int) -> Sequence[Line]:
        return (title_line(self._fitting(width)),) if self._matrix is not None else ()

    def body_length(self, width: int) -> int:
        return len(self._matrix.cells) if self._matrix is not None else 1

    def body_line(self, index: int, width: int) -> Line:
        if self._matrix is None:
            return (("nothing is measured yet: a worker of its own is being started", "dim"),)
        return cell_line(
            self._matrix.cells[index], self._fitting(width), index == self._matrix.pick, self._matrix.yardstick
        )

    def foot_lines(self, width: int, height: int) -> Sequence[Line]:
        cell = self.selected
        if self._matrix is None or cell is None:
            return ()
        most = min(MOST_DETAILS, height - 2 - min(LEAST_ROWS, len(self._matrix.cells)))
        return [((" ", ""),), *detail_lines(self._matrix, cell, width, most)] if most >= 2 else ()

    def _fitting(self, width: int) -> Columns:
        if self._matrix is not None and self._columns[:2] != (width, self._matrix):
            self._columns = (width, self._matrix, columns_for(width, self._matrix))
        return self._columns[2]

    def cursor_opened(self) -> None:
        self.action_open()

    def action_open(self) -> None:
        cell = self.selected
        if cell is not None:
            self.post_message(self.Chosen(cell))
