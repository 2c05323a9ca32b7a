"""Lines of spans on the screen: painted one by one, repainting only the cells that changed.

It owns the palette, the last guard and what is painted now. It never asks for a layout, `redraw` without
a change sends nothing, and while it is not displayed it does nothing at all.
"""

from __future__ import annotations

from rich.segment import Segment
from rich.style import Style
from textual.geometry import Region, Size
from textual.strip import Strip
from textual.widget import Widget

from workbench.tui.draw.spans import Line, ascii_text, changed_cells, fit_line
from workbench.tui.guard import guarded
from workbench.tui.palette import LINES, cursor_style, text_style

MARGIN = 2
"""Cells of a line that are not text: one at the left, and one at the right for the scroll mark."""

NOT_PAINTED = Size(-1, -1)

Painted = tuple[Line, bool]
"""A line exactly as wide as the widget, and whether the cursor is on it."""


class LineSurface(Widget):
    """A widget made of lines. Subclasses define `painted_lines`, and call `redraw` when they may have changed."""

    ALLOW_SELECT = False

    DEFAULT_CSS = """
    LineSurface {
        background: $background;
        color: $foreground;
    }
    """

    def __init__(self, *, id: str | None = None, classes: str | None = None, unicode: bool = True) -> None:
        super().__init__(id=id, classes=classes)
        self.unicode = unicode
        self._painted: list[Painted] = []
        self._painted_size = NOT_PAINTED
        self._redraw_asked = False
        self._palette: dict[tuple[str, bool, bool], Style] = {}
        self.set_class(not unicode, "-ascii")

    def painted_lines(self, width: int, height: int) -> list[Painted]:
        """`height` lines of exactly `width` cells; see `framed`."""
        raise NotImplementedError

    @property
    def text_width(self) -> int:
        """Cells a line of text may have."""
        return max(1, self.size.width - MARGIN)

    def framed(self, line: Line, width: int, mark: str = " ") -> Line:
        """A line guarded, in the terminal's characters, and between its margins; `mark` stands in the right one."""
        inner = max(1, width - MARGIN)
        safe = tuple((guarded(text), style) for text, style in line)
        if not self.unicode:
            safe, mark = tuple((ascii_text(text), style) for text, style in safe), ascii_text(mark)
        # The margin takes the style of what follows: every change of style is 45 bytes of escape codes.
        margin = (" ", safe[0][1] if safe else "")
        return fit_line((margin, *fit_line(safe, inner), (mark, "dim" if mark.strip() else "")), width)

    def redraw(self) -> None:
        """Have the lines looked at again soon; many calls before that are one."""
        if self.is_mounted and not self._redraw_asked:
            self._redraw_asked = True
            self.call_later(self.redraw_now)

    def redraw_now(self) -> None:
        """Look at every line again, and repaint the cells that changed."""
        self._redraw_asked = False
        if not self.display or self.size != self._painted_size:
            # Textual lays the screen out again when a hidden widget is refreshed; `on_show` does it in time.
            self._painted_size = NOT_PAINTED
            if self.display:
                self.refresh()
            return
        lines = self.painted_lines(*self.size)
        regions = []
        for y, (old, new) in enumerate(zip(self._painted, lines, strict=True)):
            if old != new:
                start, end = changed_cells(old[0], new[0]) if old[1] == new[1] else (0, self.size.width)
                regions.append(Region(start, y, end - start, 1))
        self._painted = lines
        if regions:
            self.refresh(*regions)

    def render_line(self, y: int) -> Strip:
        """One painted line of the content."""
        if self.size != self._painted_size:
            self._painted, self._painted_size = self.painted_lines(*self.size), self.size
        if y >= len(self._painted):
            return Strip.blank(self.size.width, self.rich_style)
        line, at_cursor = self._painted[y]
        segments = [Segment(text, self._style(style, at_cursor)) for text, style in line]
        return Strip(segments, self.size.width)

    def on_show(self) -> None:
        """It was hidden and is displayed: what it was told meanwhile shows now."""
        if self._painted_size == NOT_PAINTED:
            self.refresh()

    def notify_style_update(self) -> None:
        self._palette.clear()
        super().notify_style_update()

    def _style(self, name: str, at_cursor: bool) -> Style:
        key = (name, at_cursor, self.has_focus)
        style = self._palette.get(key)
        if style is None:
            variables, ground = self.app.theme_variables, self.background_colors[1]
            style = self.rich_style
            if name:
                style += text_style(LINES[name], variables, ground)
            if at_cursor:
                style += cursor_style(self.has_focus, variables, ground)
            self._palette[key] = style
        return style
