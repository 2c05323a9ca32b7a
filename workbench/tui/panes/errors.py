"""The table of errors: every module call of two runs, what it was given, what it makes itself, what comes out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from textual.binding import BindingType
from textual.message import Message

from workbench.protocol.cause import ErrorTable
from workbench.tui.draw.error_lines import beyond, call_line, foot_lines, head_lines
from workbench.tui.draw.spans import Line
from workbench.tui.panes.line_pane import LinePane, pane_key


class ErrorsPane(LinePane):
    """Shows one `ErrorTable`; the cursor begins where the error starts."""

    BINDINGS: ClassVar[list[BindingType]] = [
        pane_key("enter", "open", "Go to it", tooltip="Go to the module in the tree"),
        pane_key("s", "start", "Start", tooltip="Where the error starts"),
        pane_key("g", "growth", "Growth", tooltip="Where it grows most"),
        pane_key("n", "next(1)", "Next", tooltip="The next call with an error of its own"),
        pane_key("p", "next(-1)", "Previous", tooltip="The one before"),
    ]

    HAS_CURSOR = True

    @dataclass
    class Opened(Message):
        """A module was chosen."""

        path: str

    def __init__(self, table: ErrorTable, *, id: str | None = None, unicode: bool = True) -> None:
        super().__init__(id=id, unicode=unicode)
        self.table = table
        self.border_title = f"error of #{table.run} against #{table.against}" if table.run else "error of B against A"
        self._cursor = max(0, table.starts)

    def on_mount(self) -> None:
        self.call_after_refresh(self.move_cursor, self._cursor, False)

    def head_lines(self, width: int) -> Sequence[Line]:
        return head_lines(self.table, width)

    def foot_lines(self, width: int, height: int) -> Sequence[Line]:
        return foot_lines(self.table, self._cursor, width) if self.table.calls and height >= 12 else ()

    def body_length(self, width: int) -> int:
        return max(1, len(self.table.calls))

    def body_line(self, index: int, width: int) -> Line:
        if not self.table.calls:
            return (("no module was called", "dim"),)
        return call_line(self.table, index, width, self.unicode)

    def cursor_opened(self) -> None:
        self.action_open()

    def action_open(self) -> None:
        if self.table.calls:
            self.post_message(self.Opened(self.table.calls[self._cursor].path))

    def action_start(self) -> None:
        if self.table.starts >= 0:
            self.move_cursor(self.table.starts)

    def action_growth(self) -> None:
        if self.table.grows >= 0:
            self.move_cursor(self.table.grows)

    def action_next(self, direction: int) -> None:
        place = self._cursor + direction
        while 0 <= place < len(self.table.calls):
            if beyond(self.table.calls[place]):
                self.move_cursor(place)
                return
            place += direction
