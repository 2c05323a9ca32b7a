"""The lines without a frame: the status of bench and engine at the top, and the job that runs now.

Each owns a clock that ticks once a second only while something is awaited; at rest they paint nothing.
"""

from __future__ import annotations

from time import monotonic

from textual.app import ComposeResult
from textual.timer import Timer
from textual.widget import Widget

from workbench.protocol.messages import Progress
from workbench.protocol.model import ModelInfo, Modes
from workbench.tui.draw.spans import Line, cells_of
from workbench.tui.draw.status_line import bench_part, engine_part, job_line
from workbench.tui.panes.line_pane import MARGIN, LinePane


class _BareLine(LinePane, can_focus=False):
    """One line without a frame, with a clock."""

    DEFAULT_CSS = """
    _BareLine {
        height: 1; border: none; background: $panel;
        &.-ascii { border: none; }
        &:ansi { border: none; background: ansi_default; }
    }
    """

    def __init__(self, *, id: str | None = None, classes: str | None = None, unicode: bool = True) -> None:
        super().__init__(id=id, classes=classes, unicode=unicode)
        self._since: float | None = None
        self._ticker: Timer | None = None

    def on_mount(self) -> None:
        self._ticker = self.set_interval(1.0, self.redraw, pause=True)
        self._run_clock(self._since is not None)

    def _run_clock(self, running: bool, elapsed: float = 0.0) -> None:
        """Start the clock (a running one goes on), or stop it."""
        self._since = (self._since if self._since is not None else monotonic() - elapsed) if running else None
        if self._ticker is not None:
            if running:
                self._ticker.resume()
            else:
                self._ticker.pause()

    def _elapsed(self) -> float | None:
        return None if self._since is None else monotonic() - self._since

    def body_length(self, width: int) -> int:
        return 1


class _BenchPart(_BareLine):
    """What is on the bench."""

    DEFAULT_CSS = "_BenchPart { width: 1fr; }"

    info: ModelInfo | None = None
    modes: Modes | None = None

    def body_line(self, index: int, width: int) -> Line:
        return bench_part(self.info, self.modes, width)


class _EnginePart(_BareLine):
    """How the engine does. A widget of its own, so that a new number there repaints only itself."""

    DEFAULT_CSS = "_EnginePart { width: 12; }"

    def __init__(self, *, unicode: bool) -> None:
        super().__init__(unicode=unicode)
        self.state, self.words, self.rss = "starting", "", 0

    def tell(self, clock: bool) -> None:
        """Something about the engine changed; the width follows only when it must."""
        self._run_clock(clock)
        needed = cells_of(self.body_line(0, 0)) + MARGIN
        if self.styles.width is None or self.styles.width.value != needed:
            self.styles.width = needed
        self.redraw()

    def restart_clock(self) -> None:
        self._run_clock(False)

    def body_line(self, index: int, width: int) -> Line:
        return engine_part(self.state, self.words, self._elapsed(), self.rss)


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
            self._engine.restart_clock()
        self._engine.state, self._engine.words, self._clock = state, words, clock
        self._engine.tell(clock)

    def set_rss(self, rss: int) -> None:
        """Bytes of the bench worker; 0: none."""
        self._engine.rss = rss
        self._engine.tell(self._clock)


class JobLine(_BareLine):
    """The job that runs now; empty when there is none."""

    def __init__(self, *, id: str | None = None, classes: str | None = None, unicode: bool = True) -> None:
        super().__init__(id=id, classes=classes, unicode=unicode)
        self._title, self._hint = "", ""
        self._progress: Progress | None = None

    def start(self, title: str, hint: str = "esc cancels", elapsed: float = 0.0) -> None:
        """A job has begun `elapsed` seconds ago."""
        self._title, self._hint, self._progress = title, hint, None
        self._run_clock(False)
        self._run_clock(True, elapsed)
        self.redraw()

    def progress(self, progress: Progress) -> None:
        """How far it is."""
        self._progress = progress
        self.redraw()

    def stop(self) -> None:
        """It has ended."""
        self._title, self._progress = "", None
        self._run_clock(False)
        self.redraw()

    def body_line(self, index: int, width: int) -> Line:
        if not self._title:
            return ()
        phase = self._progress.phase if self._progress else ""
        known = self._progress is not None and self._progress.total > 0
        share = self._progress.done / self._progress.total if self._progress and known else None
        return job_line(self._title, phase, share, self._elapsed() or 0.0, self._hint, width)
