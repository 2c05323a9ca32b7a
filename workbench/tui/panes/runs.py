"""The runs pane: every run or repeat as a row, newest at the bottom, under the switches that are set now.

It owns the rows that are shown (at most `MOST_ROWS`) and the cursor. A row that grows is repainted in
place, cell by cell. It compares nothing itself: marks, numbers and causes come with the row.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from textual.binding import BindingType
from textual.message import Message

from workbench.tui.draw.run_table import Layout, detail_line, layout_for, modes_line, row_line, title_line
from workbench.tui.draw.spans import Line
from workbench.tui.panes.line_pane import LinePane, pane_key

if TYPE_CHECKING:
    from workbench.protocol.model import Modes
    from workbench.protocol.runs import RunRow

MOST_ROWS = 5_000
"""Rows kept for looking at; a twentieth of them goes at once, so that dropping costs little."""


class RunsPane(LinePane):
    """The table of runs."""

    BINDINGS: ClassVar[list[BindingType]] = [
        pane_key("enter", "open", "Diff of this run", id="runs.open", tooltip="Show this run's difference"),
    ]

    BORDER_TITLE = "2 runs"

    HAS_CURSOR = True

    @dataclass
    class RunSelected(Message):
        """The cursor came to a run."""

        run: int

    @dataclass
    class RunOpened(Message):
        """Enter or a double click on a run."""

        run: int

    def __init__(self, *, id: str | None = None, classes: str | None = None, unicode: bool = True) -> None:
        super().__init__(id=id, classes=classes, unicode=unicode)
        self._modes: Modes | None = None
        self._batch = 0
        self._rows: list[RunRow] = []
        self._place: dict[int, int] = {}
        self._reference = 0
        self._table: tuple[int, Layout] = (-1, Layout((), ""))
        self._lines_made: dict[int, tuple[RunRow, int, Line]] = {}

    @property
    def selected_run(self) -> int:
        """Number of the run at the cursor; 0 when there is none."""
        return self._rows[self._cursor].run if self._rows else 0

    def select_newest(self) -> None:
        """Put the cursor on the last row, from where it follows."""
        if self._rows:
            self.move_cursor(len(self._rows) - 1)

    def set_modes(self, modes: Modes, batch: int) -> None:
        """The switches as they are now; `batch` is 0 when the inputs have no batch dimension."""
        self._modes, self._batch = modes, batch
        self.redraw()

    def put(self, row: RunRow) -> None:
        """A new row, or a newer report of one that is shown."""
        if row.reference:
            self._reference = row.run
        place = self._place.get(row.run)
        if place is not None:
            self._rows[place] = row
        elif not self._rows or row.run > self._rows[-1].run:
            self._append(row)
        self.redraw()

    def clear(self) -> None:
        """Forget every row."""
        self._rows, self._place, self._lines_made, self._reference = [], {}, {}, 0
        self._cursor = self._top = 0
        self.redraw()

    def _append(self, row: RunRow) -> None:
        follows = self._cursor >= len(self._rows) - 1
        if len(self._rows) >= MOST_ROWS:
            dropped = MOST_ROWS // 20
            pinned = [kept for kept in self._rows[:dropped] if kept.pinned]
            self._rows = pinned + self._rows[dropped:]
            dropped -= len(pinned)
            self._place = {kept.run: place for place, kept in enumerate(self._rows)}
            self._lines_made.clear()
            self._cursor, self._top = max(0, self._cursor - dropped), max(0, self._top - dropped)
        self._place[row.run] = len(self._rows)
        self._rows.append(row)
        if follows:
            self.move_cursor(len(self._rows) - 1)
            if len(self._rows) == 1:
                self.cursor_moved()

    # Lines

    def head_lines(self, width: int) -> Sequence[Line]:
        titles = title_line(self._table_for(width), self._reference)
        if self._modes is None:
            return (titles,)
        return (modes_line(self._modes, self._batch, width), titles)

    def body_length(self, width: int) -> int:
        return len(self._rows) or 1

    def body_line(self, index: int, width: int) -> Line:
        if not self._rows:
            return (("no runs yet · space fires", "dim"),)
        row = self._rows[index]
        made = self._lines_made.get(row.run)
        if made is None or made[0] is not row or made[1] != width:
            if len(self._lines_made) > 500:
                self._lines_made.clear()
            made = self._lines_made[row.run] = (row, width, row_line(row, self._table_for(width)))
        return made[2]

    def foot_lines(self, width: int, height: int) -> Sequence[Line]:
        return (detail_line(self._rows[self._cursor]),) if self._rows and height >= 6 else ()

    def _table_for(self, width: int) -> Layout:
        if self._table[0] != width:
            self._table = (width, layout_for(width))
        return self._table[1]

    # Cursor and actions

    def cursor_moved(self) -> None:
        if self._rows:
            self.post_message(self.RunSelected(self.selected_run))

    def cursor_opened(self) -> None:
        self.action_open()

    def action_open(self) -> None:
        if self._rows:
            self.post_message(self.RunOpened(self.selected_run))
