"""The status line at the top: what is on the bench, and how the engine does.

It owns a clock that ticks once a second only while the engine is awaited; at rest it paints nothing.
"""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING

from textual.app import ComposeResult
from textual.timer import Timer
from textual.widget import Widget

from workbench.tui.draw.spans import Line, cells_of
from workbench.tui.draw.status_line import bench_part, engine_part
from workbench.tui.panes.line_surface import MARGIN, LineSurface, Painted

if TYPE_CHECKING:
    from workbench.protocol.model import ModelInfo, Modes


class _BareLine(LineSurface):
    """One line without a frame."""

    DEFAULT_CSS = """
    _BareLine { height: 1; background: $panel; &:ansi { background: ansi_default; } }
    """

    def line(self, width: int) -> Line:
        """What it says in `width` cells."""
        raise NotImplementedError

    def painted_lines(self, width: int, height: int) -> list[Painted]:
        return [(self.framed(self.line(self.text_width), width), False)] * height


class _BenchPart(_BareLine):
    """What is on the bench."""

    DEFAULT_CSS = "_BenchPart { width: 1fr; }"

    info: ModelInfo | None = None
    modes: Modes | None = None

    def line(self, width: int) -> Line:
        return bench_part(self.info, self.modes, width)


class _EnginePart(_BareLine):
    """How the engine does. A widget of its own, so that a new number there repaints only itself."""

    DEFAULT_CSS = "_EnginePart { width: 12; }"

    def __init__(self, *, unicode: bool) -> None:
        super().__init__(unicode=unicode)
        self.state, self.words, self.rss = "starting", "", 0
        self._since: float | None = None
        self._ticker: Timer | None = None

    def on_mount(self) -> None:
        self._ticker = self.set_interval(1.0, self.redraw, pause=True)
        self.tell(self._since is not None)

    def tell(self, clock: bool) -> None:
        """Something about the engine changed; a running clock goes on, and the width follows only when it must."""
        if not clock:
            self._since = None
        elif self._since is None:
            self._since = monotonic()
        if self._ticker is not None:
            if clock:
                self._ticker.resume()
            else:
                self._ticker.pause()
        needed = cells_of(self.line(0)) + MARGIN
        if self.styles.width is None or self.styles.width.value != needed:
            self.styles.width = needed
        self.redraw()

    def line(self, width: int) -> Line:
        elapsed = None if self._since is None else monotonic() - self._since
        return engine_part(self.state, self.words, elapsed, self.rss)


class StatusLine(Widget):
    """The first line: what is on the bench, and how the engine does."""

    DEFAULT_CSS = "StatusLine { height: 1; layout: horizontal; }"

    def __init__(self, *, id: str | None = None, classes: str | None = None, unicode: bool = True) -> None:
        super().__init__(id=id, classes=classes)
        self._bench = _BenchPart(unicode=unicode)
        self._engine = _EnginePart(unicode=unicode)
        self._clock = False

    def compose(self) -> ComposeResult:
        yield self._bench
        yield self._engine

    def set_model(self, info: ModelInfo | None, modes: Modes | None) -> None:
        """What is on the bench; None: nothing."""
        self._bench.info, self._bench.modes = info, modes
        self._bench.redraw()

    def set_engine(self, state: str, words: str = "", clock: bool = False) -> None:
        """Engine's state, one of `status_line.ENGINE`; `words` replace the state's own; `clock` shows the time.

        The clock starts with the call that first asks for it and goes on while the state stays the same.
        """
        if state != self._engine.state:
            self._engine.tell(False)
        self._engine.state, self._engine.words, self._clock = state, words, clock
        self._engine.tell(clock)

    def set_rss(self, rss: int) -> None:
        """Bytes of the bench worker; 0: none."""
        self._engine.rss = rss
        self._engine.tell(self._clock)
