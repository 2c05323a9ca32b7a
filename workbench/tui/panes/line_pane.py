"""The base of every pane: lines of spans, painted one by one, repainting only the cells that changed.

It owns scrolling, the cursor, the palette and the last guard. A pane says how many lines there are and
what stands in each; it never asks for a layout, and `redraw` without a change sends nothing. There is no
child widget and no timer here: an idle pane costs nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Region
from textual.strip import Strip
from textual.widget import Widget

from workbench.tui.draw.spans import STYLES, Line, ascii_text, changed_cells, fit_line
from workbench.tui.guard import guarded

MARGIN = 2
"""Cells of a line that are not text: one at the left, and one at the right for the scroll mark."""

_Shown = tuple[Line, bool]
"""A painted line and whether it has the cursor."""


class LinePane(Widget, can_focus=True):
    """A widget made of lines. Subclasses define `body_length` and `body_line`, and call `redraw`."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "move(-1)", "Up", show=False),
        Binding("down,j", "move(1)", "Down", show=False),
        Binding("pageup", "page(-1)", "Page up", show=False),
        Binding("pagedown", "page(1)", "Page down", show=False),
        Binding("home", "home", "First line", show=False),
        Binding("end", "end", "Last line", show=False),
    ]

    COMPONENT_CLASSES: ClassVar[set[str]] = {f"line--{style}" for style in STYLES if style} | {"line--cursor"}

    ALLOW_SELECT = False

    ALLOW_MAXIMIZE = True

    DEFAULT_CSS = """
    LinePane {
        border: solid $foreground 25%;
        border-title-color: $foreground;
        border-title-background: $background;
        border-subtitle-color: $foreground-muted;
        background: $background;
        color: $foreground;
        &:focus { border: heavy $primary; border-title-style: bold; }
        &.-ascii { border: ascii $foreground 40%; }
        &.-ascii:focus { border: ascii $primary; }
        &.-bare { border: none; }
        & > .line--dim { color: $foreground-muted; }
        & > .line--good { color: $text-success; }
        & > .line--warn { color: $text-warning; text-style: bold; }
        & > .line--bad { color: $text-error; text-style: bold; }
        & > .line--accent { color: $text-primary; }
        & > .line--strong { text-style: bold; }
        & > .line--cursor { background: $primary 20%; }
        &:focus > .line--cursor {
            color: $block-cursor-foreground;
            background: $block-cursor-background;
            text-style: bold;
        }
        &:ansi {
            border: solid ansi_default;
            &:focus { border: heavy ansi_default; }
            & > .line--dim { color: ansi_default; text-style: dim; }
            & > .line--cursor { text-style: bold; }
            &:focus > .line--cursor { color: ansi_default; background: ansi_default; text-style: reverse; }
        }
    }
    """

    HAS_CURSOR: ClassVar[bool] = False
    """Arrow keys move a cursor over the body's lines; without it they scroll."""

    def __init__(self, *, id: str | None = None, classes: str | None = None, unicode: bool = True) -> None:
        super().__init__(id=id, classes=classes)
        self.unicode = unicode
        self._top = 0
        self._cursor = 0
        self._shown: list[_Shown] = []
        self._shown_width = -1
        self._redraw_asked = False
        self._palette: dict[tuple[str, bool], Style] = {}
        self.set_class(not unicode, "-ascii")

    def set_unicode(self, unicode: bool) -> None:
        """Draw with Unicode's signs, or with ASCII only."""
        self.unicode = unicode
        self.set_class(not unicode, "-ascii")
        self.redraw()

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

    # Painting

    @property
    def text_width(self) -> int:
        """Cells a line of text may have."""
        return max(1, self.size.width - MARGIN)

    @property
    def cursor(self) -> int:
        """Line of the body that the cursor is on."""
        return self._cursor

    def redraw(self) -> None:
        """Have the visible lines looked at again soon; many calls before that are one."""
        if self.is_mounted and not self._redraw_asked:
            self._redraw_asked = True
            self.call_later(self.redraw_now)

    def redraw_now(self) -> None:
        """Look at every visible line again, and repaint the cells that changed."""
        self._redraw_asked = False
        width, height = self.size
        if width != self._shown_width or len(self._shown) != height:
            self._shown_width = -1
            self.refresh()
            return
        lines = self._lines(width, height)
        regions = []
        for y, (old, new) in enumerate(zip(self._shown, lines, strict=True)):
            if old != new:
                start, end = changed_cells(old[0], new[0]) if old[1] == new[1] else (0, width)
                regions.append(Region(start, y, end - start, 1))
        self._shown = lines
        if regions:
            self.refresh(*regions)

    def render_line(self, y: int) -> Strip:
        """One painted line of the content."""
        width, height = self.size
        if width != self._shown_width or len(self._shown) != height:
            self._shown, self._shown_width = self._lines(width, height), width
        if y >= len(self._shown):
            return Strip.blank(width, self.rich_style)
        line, at_cursor = self._shown[y]
        segments = [Segment(text, self._style(style, at_cursor)) for text, style in line]
        return Strip(segments, width)

    def notify_style_update(self) -> None:
        self._palette.clear()
        super().notify_style_update()

    def _style(self, name: str, at_cursor: bool) -> Style:
        style = self._palette.get((name, at_cursor))
        if style is None:
            style = self.get_component_rich_style(f"line--{name}") if name else self.rich_style
            if at_cursor:
                cursor = self.get_component_rich_style("line--cursor")
                style += cursor if self.has_focus else Style(bgcolor=cursor.bgcolor)
            self._palette[name, at_cursor] = style
        return style

    def _lines(self, width: int, height: int) -> list[_Shown]:
        """Every visible line, exactly `width` cells wide."""
        inner = max(1, width - MARGIN)
        total = self.body_length(inner)
        self._cursor = max(0, min(self._cursor, total - 1))
        head, foot = list(self.head_lines(inner)), list(self.foot_lines(inner, height))
        room = max(0, height - len(head) - len(foot))
        self._top = max(0, min(self._top, total - room))
        bar = _scroll_mark(self._top, room, total)
        lines = [(self._framed(line, inner, " "), False) for line in head[:height]]
        for row in range(room):
            index = self._top + row
            line = self.body_line(index, inner) if index < total else ()
            at_cursor = self.HAS_CURSOR and index == self._cursor and index < total
            lines.append((self._framed(line, inner, "▐" if row in bar else " "), at_cursor))
        lines.extend((self._framed(line, inner, " "), False) for line in foot)
        return lines[:height]

    def _framed(self, line: Line, inner: int, mark: str) -> Line:
        safe = tuple((guarded(text), style) for text, style in line)
        if not self.unicode:
            safe, mark = tuple((ascii_text(text), style) for text, style in safe), ascii_text(mark)
        # The margin takes the style of what follows: every change of style is 45 bytes of escape codes.
        margin = (" ", safe[0][1] if safe else "")
        return fit_line((margin, *fit_line(safe, inner), (mark, "dim" if mark.strip() else "")), inner + MARGIN)

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
            if event.chain == 2:
                self.cursor_opened()


def _scroll_mark(top: int, room: int, total: int) -> range:
    """Rows of the scroll mark; none when everything fits."""
    if total <= room or room < 2:
        return range(0)
    size = max(1, room * room // total)
    start = round((room - size) * top / (total - room))
    return range(start, start + size)
