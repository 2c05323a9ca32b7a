"""The checks pane: whether the model on the bench is ready to serve, one line a check as it is answered.

It owns the rows, the cursor and a clock that ticks only while a check is asked. It starts and judges nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from time import monotonic
from typing import ClassVar

from textual.binding import BindingType
from textual.message import Message
from textual.timer import Timer

from workbench.protocol.artifacts import CHECK_IDS, LATENCY, CheckRow
from workbench.tui.draw.spans import Line
from workbench.tui.panes.line_pane import LinePane, pane_key

IDS = (*CHECK_IDS, LATENCY)


class ChecksPane(LinePane):
    """What it came to, one line a check, and everything about the one at the cursor."""

    BINDINGS: ClassVar[list[BindingType]] = [
        pane_key("enter", "open", "Open", id="checks.open", tooltip="Show everything about the check"),
    ]

    BORDER_TITLE = "7 checks"

    HAS_CURSOR = True

    @dataclass
    class CheckOpened(Message):
        """Enter or a double click."""

        row: CheckRow

    def __init__(self, *, id: str | None = None, classes: str | None = None, unicode: bool = True) -> None:
        super().__init__(id=id, classes=classes, unicode=unicode)
        self._rows: dict[str, CheckRow] = {}
        self._asking = self._ended = ""
        self._began = self._step = 0.0
        self._training = self._grad = ""
        self._stale = False
        self._followed = True
        self._ticker: Timer | None = None

    @property
    def chosen(self) -> CheckRow | None:
        """The row at the cursor; None while it has no answer."""
        return self._rows.get(IDS[min(self._cursor, len(IDS) - 1)])

    def start(self, training: str, grad: str) -> None:
        """The checks begin, under these modes."""
        self._rows.clear()
        self._training, self._grad, self._stale, self._ended = training, grad, False, ""
        self._began = self._step = monotonic()
        self._asking, self._followed = IDS[0], True
        self._cursor = self._top = 0
        self._tick()

    def put(self, row: CheckRow) -> None:
        """One is answered; the next is asked. The cursor goes along until a key has moved it."""
        self._rows[row.id] = row
        self._step = monotonic()
        left = [name for name in IDS if name not in self._rows]
        self._asking = left[0] if left else ""
        if self._followed and left:
            self.move_cursor(IDS.index(left[0]), tell=False)
        self._tick()

    def finish(self, ended: str = "") -> None:
        """All are answered, or `ended` says why not; the cursor goes to the first that does not hold."""
        self._asking, self._ended = "", ended
        if self._followed:
            bad = [name for name in self._rows if self._rows[name].status in ("fail", "error")]
            self.move_cursor(IDS.index(bad[0]) if bad else 0, tell=False)
        self._tick()

    def set_modes(self, training: str, grad: str) -> None:
        """The modes now: answers under others are old."""
        stale = bool(self._rows) and not self._asking and (training, grad) != (self._training, self._grad)
        if stale != self._stale:
            self._stale = stale
            self.redraw()

    def clear(self) -> None:
        """Another model: nothing was asked of it."""
        self._rows.clear()
        self._asking = self._ended = ""
        self._cursor = self._top = 0
        self._tick()

    def on_mount(self) -> None:
        self._ticker = self.set_interval(1.0, self.redraw, pause=True)
        self._tick()

    def _tick(self) -> None:
        if self._ticker is not None:
            if self._asking:
                self._ticker.resume()
            else:
                self._ticker.pause()
        self.redraw()

    # Lines

    def head_lines(self, width: int) -> Sequence[Line]:
        from workbench.tui.draw.ready_lines import Asked, head_lines  # the first frame wants none of it

        asked = Asked(self._training, self._grad, self._stale)
        rows = tuple(self._rows.values())
        return head_lines(rows, self._asking, len(IDS), monotonic() - self._began, asked, self._ended, width)

    def foot_lines(self, width: int, height: int) -> Sequence[Line]:
        row = self.chosen
        if row is None or height < 8:
            return ()
        from workbench.tui.draw.ready_lines import detail_lines

        lines, room = detail_lines(row, width), max(3, height - len(IDS) - 2, height // 3)
        if len(lines) > room - 1:
            lines = [*lines[: room - 2], (("… enter shows the rest", "dim"),)]
        return [((f"─ {row.id} " + "─" * max(0, width - len(row.id) - 3), "dim"),), *lines]

    def body_length(self, width: int) -> int:
        return len(IDS) if self._rows or self._asking else 0

    def body_line(self, index: int, width: int) -> Line:
        from workbench.tui.draw.ready_lines import check_line

        name = IDS[index]
        return check_line(name, self._rows.get(name), name == self._asking, monotonic() - self._step)

    # Cursor and actions

    def cursor_moved(self) -> None:
        self._followed = False

    def cursor_opened(self) -> None:
        self.action_open()

    def action_open(self) -> None:
        if self.chosen is not None:
            self.post_message(self.CheckOpened(replace(self.chosen)))
