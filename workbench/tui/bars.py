"""The three lines around the panes: tabs, activity, keys. Each is one line that repaints only when its text changes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.message import Message
from textual.strip import Strip
from textual.widget import Widget

from workbench.tui.actions import BY_ID, fitting
from workbench.tui.board import PANES
from workbench.tui.draw.spans import Line, ascii_text, cells_of, fit_line
from workbench.tui.guard import guarded
from workbench.tui.palette import BARS, Look, text_style


class Bar(Widget, can_focus=False):
    """One line of spans."""

    ALLOW_SELECT = False

    DEFAULT_CSS = """
    Bar {
        height: 1; width: 100%; background: $panel; color: $foreground;
        &:ansi { background: ansi_default; }
    }
    """

    def __init__(self, id: str, unicode: bool = True) -> None:
        super().__init__(id=id)
        self._unicode = unicode
        self._line: Line = ()
        self._palette: dict[str, Style] = {}

    @property
    def text(self) -> str:
        """What it says, without styles."""
        return "".join(text for text, _ in self._line)

    def set_line(self, line: Line) -> None:
        """Say something else."""
        safe = tuple((guarded(text), style) for text, style in line)
        if not self._unicode:
            safe = tuple((ascii_text(text), style) for text, style in safe)
        if safe != self._line:
            self._line = safe
            self.refresh()

    def render_line(self, y: int) -> Strip:
        width = self.size.width
        if y:
            return Strip.blank(width, self.rich_style)
        segments = [Segment(text, self._style(style)) for text, style in fit_line(self._line, width)]
        return Strip(segments, width)

    def notify_style_update(self) -> None:
        self._palette.clear()
        super().notify_style_update()

    def _style(self, name: str) -> Style:
        if name not in self._palette:
            look = BARS.get(name, Look())
            variables, ground = self.app.theme_variables, self.background_colors[1]
            self._palette[name] = self.rich_style + text_style(look, variables, ground)
        return self._palette[name]


class KeyBar(Bar):
    """The footer: the actions that fit, made from the registry. A click does what the key does."""

    def __init__(self, id: str, unicode: bool = True) -> None:
        super().__init__(id, unicode)
        self._made_for = -1
        self._ends: list[tuple[int, str]] = []

    @dataclass
    class Pressed(Message):
        """An action was clicked."""

        action: str

    def render_line(self, y: int) -> Strip:
        if self.size.width != self._made_for:
            self._make(self.size.width)
        return super().render_line(y)

    def _make(self, width: int) -> None:
        """What fits is made while it is painted: a footer that came one frame later would flicker."""
        spans: list[tuple[str, str]] = []
        self._ends.clear()
        for action in fitting(width - 1):
            spans += [(" " + action.keys[0], "accent"), (" " + action.label, "")]
            self._ends.append((cells_of(tuple(spans)), action.id))
            spans.append((" ", ""))
        self._made_for, self._line = width, tuple(spans)

    def on_click(self, event: events.Click) -> None:
        for end, action in self._ends:
            if event.x < end:
                self.post_message(self.Pressed(action))
                return


class TabBar(Bar):
    """Names of the panes, where not all of them can be seen."""

    def __init__(self, id: str, unicode: bool = True) -> None:
        super().__init__(id, unicode)
        self._ends: list[tuple[int, str]] = []

    @dataclass
    class Chosen(Message):
        """A tab was clicked."""

        pane: str

    def show(self, shown: str, badges: Sequence[str] = ()) -> None:
        """`shown` is marked; a pane named in `badges` has something new."""
        spans: list[tuple[str, str]] = []
        self._ends.clear()
        for number, pane in enumerate(PANES, 1):
            label = f" {number} {pane}{'*' if pane in badges else ''} "
            spans.append((label, "chosen" if pane == shown else ""))
            self._ends.append((cells_of(tuple(spans)), pane))
            spans.append(("│", "dim"))
        self.set_line(tuple(spans[:-1]))

    def on_click(self, event: events.Click) -> None:
        for end, pane in self._ends:
            if event.x < end:
                self.post_message(self.Chosen(pane))
                return


class ActivityBar(Bar):
    """What runs now and for how long; otherwise the last thing that was said."""

    _STYLES = {"information": "", "good": "good", "warning": "warn", "error": "bad"}  # noqa: RUF012

    def say(self, words: str, severity: str = "information") -> None:
        """`severity`: "information", "good", "warning" or "error"."""
        sign = {"good": "✓ ", "warning": "! ", "error": "✗ "}.get(severity, "")
        self.set_line(((" " + sign + words.replace("\n", " "), self._STYLES[severity]),))

    def working(self, words: str, clock: str, share: float | None, hint: str) -> None:
        """A job: what it does, how long it has been at it, how far it is (0 to 1; None: not known)."""
        done = f"  {share:4.0%}" if share is not None else ""
        bar = _progress(share) if share is not None else ""
        self.set_line(((" ◌ ", "accent"), (words, "strong"), (done, ""), (bar, "accent"), (f"  {clock}", ""),
                       (f"  {hint}", "dim")))  # fmt: skip


def _progress(share: float, cells: int = 12) -> str:
    full = round(max(0.0, min(1.0, share)) * cells)
    return "  " + "━" * full + "╌" * (cells - full)


assert all(f"pane_{pane}" in BY_ID for pane in PANES), "every pane has its key"
