"""The base of every pane: a frame around lines that scroll, with a cursor where the pane wants one.

It owns what is visible of the body and where the cursor stands. A pane says how many lines there are and
what stands in each. There is no child widget and no timer here: an idle pane costs nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Protocol, runtime_checkable

from textual import events
from textual.actions import SkipAction
from textual.binding import Binding, BindingType

from workbench.tui.draw.spans import Line
from workbench.tui.panes.line_surface import LineSurface, Painted


def pane_key(key: str, action: str, label: str, tooltip: str = "", id: str | None = None) -> Binding:
    """A key of a pane. It goes first, as the registry's do: the app itself handles each key of a burst before it looks
    at the next, for the focus that the former one left, while a key that is passed on to a widget comes later."""
    return Binding(key, action, label, show=False, priority=True, id=id, tooltip=tooltip)


@runtime_checkable
class HasOdd(Protocol):
    """A screen with a tree of modules, some of which may be in another mode than the root."""

    def show_odd(self, direction: int) -> None:
        """Go to the next of them, or to the one before where `direction` is negative."""


class LinePane(LineSurface, can_focus=True):
    """A framed widget of lines. Subclasses define `body_length` and `body_line`, and call `redraw`."""

    BINDINGS: ClassVar[list[BindingType]] = [
        pane_key("up", "move(-1)", "Up"),
        pane_key("down", "move(1)", "Down"),
        pane_key("pageup", "page(-1)", "Page up"),
        pane_key("pagedown", "page(1)", "Page down"),
        pane_key("home", "home", "First line"),
        pane_key("end", "end", "Last line"),
        pane_key("right_square_bracket", "odd(1)", "Next odd one"),
        pane_key("left_square_bracket", "odd(-1)", "Odd one before"),
    ]

    ALLOW_MAXIMIZE = True

    DEFAULT_CSS = """
    LinePane {
        border: solid $foreground 25%;
        border-title-color: $foreground;
        border-title-background: $background;
        border-subtitle-color: $foreground-muted;
        &:focus { border: heavy $primary; border-title-style: bold; }
        &:ansi { border: solid ansi_default; }
        &:ansi:focus { border: heavy ansi_default; }
        &.-ascii { border: ascii $foreground 40%; }
        &.-ascii:focus { border: ascii $primary; }
    }
    """

    HAS_CURSOR: ClassVar[bool] = False
    """Arrow keys move a cursor over the body's lines; without it they scroll."""

    def __init__(self, *, id: str | None = None, classes: str | None = None, unicode: bool = True) -> None:
        super().__init__(id=id, classes=classes, unicode=unicode)
        self._top = 0
        self._cursor = 0

    # What a pane defines

    def head_lines(self, width: int) -> Sequence[Line]:
        """Lines that stay at the top while the rest scrolls."""
        return ()

    def foot_lines(self, width: int, height: int) -> Sequence[Line]:
        """Lines that stay at the bottom; `height` is the pane's own."""
        return ()

    def body_length(self, width: int) -> int:
        """How many lines the scrolling part has."""
        raise NotImplementedError

    def body_line(self, index: int, width: int) -> Line:
        """One line of the scrolling part; asked for only while it is visible."""
        raise NotImplementedError

    def cursor_moved(self) -> None:
        """Called after the cursor came to another line by a key or the mouse."""

    def cursor_opened(self) -> None:
        """Called for a double click on the cursor's line."""

    def cell_clicked(self, column: int) -> bool:
        """Called for a click on the cursor's line, with the cell of its text; whether that was all it meant."""
        return False

    def painted_lines(self, width: int, height: int) -> list[Painted]:
        """Head, what is visible of the body, foot."""
        inner = self.text_width
        total = self.body_length(inner)
        self._cursor = max(0, min(self._cursor, total - 1))
        head, foot = list(self.head_lines(inner)), list(self.foot_lines(inner, height))
        room = max(0, height - len(head) - len(foot))
        self._top = max(0, min(self._top, total - room))
        bar = _scroll_mark(self._top, room, total)
        lines = [(self.framed(line, width), False) for line in head[:height]]
        for row in range(room):
            index = self._top + row
            line = self.body_line(index, inner) if index < total else ()
            at_cursor = self.HAS_CURSOR and index == self._cursor and index < total
            lines.append((self.framed(line, width, "▐" if row in bar else " "), at_cursor))
        lines.extend((self.framed(line, width), False) for line in foot)
        return lines[:height]

    # Moving about

    def room(self) -> int:
        """Lines of the body that fit at once."""
        inner = self.text_width
        height = self.size.height
        return max(1, height - len(self.head_lines(inner)) - len(self.foot_lines(inner, height)))

    def at_end(self) -> bool:
        """The last line is visible."""
        return self._top + self.room() >= self.body_length(self.text_width)

    def move_cursor(self, line: int, tell: bool = True) -> None:
        """Put the cursor on a line of the body and scroll it into view."""
        line = max(0, min(line, self.body_length(self.text_width) - 1))
        moved, self._cursor = line != self._cursor, line
        room = self.room()
        self._top = max(line - room + 1, min(self._top, line))
        if moved and tell:
            self.cursor_moved()
        self.redraw()

    def scroll_lines(self, by: int) -> None:
        """Scroll the body, down when `by` is positive."""
        last = max(0, self.body_length(self.text_width) - self.room())
        self._top = max(0, min(last, self._top + by))
        self.redraw()

    def action_move(self, by: int) -> None:
        if self.HAS_CURSOR:
            self.move_cursor(self._cursor + by)
        else:
            self.scroll_lines(by)

    def action_page(self, direction: int) -> None:
        self.action_move(direction * max(1, self.room() - 1))

    def action_odd(self, direction: int) -> None:
        """Go to the next module in another mode, which the screen knows of; on a card the key may be the card's own."""
        if not isinstance(self.screen, HasOdd):
            raise SkipAction
        self.screen.show_odd(direction)

    def action_home(self) -> None:
        self.action_move(-self.body_length(self.text_width))

    def action_end(self) -> None:
        self.action_move(self.body_length(self.text_width))

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        event.stop()
        self.scroll_lines(3)

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        event.stop()
        self.scroll_lines(-3)

    def on_click(self, event: events.Click) -> None:
        offset = event.get_content_offset(self)
        if offset is None or not self.HAS_CURSOR:
            return
        index = self._top + offset.y - len(self.head_lines(self.text_width))
        if self._top <= index < min(self._top + self.room(), self.body_length(self.text_width)):
            self.move_cursor(index)
            if not self.cell_clicked(offset.x - 1) and event.chain == 2:
                self.cursor_opened()


def _scroll_mark(top: int, room: int, total: int) -> range:
    """Rows of the scroll mark; none when everything fits."""
    if total <= room or room < 2:
        return range(0)
    size = max(1, room * room // total)
    start = round((room - size) * top / (total - room))
    return range(start, start + size)
