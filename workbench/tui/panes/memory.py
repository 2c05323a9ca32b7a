"""The memory pane: RSS over time as a sweeping plot with marks, and what memory is used for in words.

It owns the samples it plots and the scale of the axis. Time moves with samples alone, and only while
something runs: a sample that comes while nothing does corrects the last one.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from itertools import islice
from typing import TYPE_CHECKING

from workbench.report import numbers
from workbench.report.memory import top_words
from workbench.tui.draw import plot
from workbench.tui.draw.spans import Line, Span, fit, flow, text_of, wrapped
from workbench.tui.panes.document_pane import DocumentPane

if TYPE_CHECKING:
    from workbench.protocol.memory import Leak, MemoryAccount, MemoryMark, MemorySample
    from workbench.protocol.runs import RunRow

MOST_SAMPLES = 1_000
"""Enough for one sweep of a wall display."""

AXIS = 9
"""Cells of the labels at the left: "1000 MB ┤"."""

LEAST_PLOT = 2
"""Rows below which there is no plot."""

PLOT_WITH_TIME = 4
"""Rows from which one of them is the time scale."""


class MemoryPane(DocumentPane):
    """Memory of the bench worker."""

    BORDER_TITLE = "4 memory"

    def __init__(self, *, id: str | None = None, classes: str | None = None, unicode: bool = True) -> None:
        super().__init__(id=id, classes=classes, unicode=unicode)
        self._samples: deque[float] = deque(maxlen=MOST_SAMPLES)
        self._times: deque[float] = deque(maxlen=MOST_SAMPLES)
        self._total = 0
        self._last: MemorySample | None = None
        self._marks: deque[MemoryMark] = deque(maxlen=200)
        self._row: RunRow | None = None
        self._leak: Leak | None = None
        self._account: MemoryAccount | None = None
        self._scale = plot.Scale(0.0, 1.0)
        self._running = True

    def set_running(self, running: bool) -> None:
        """Whether anything runs: while nothing does, the time axis stands still."""
        self._running = running

    def add_sample(self, sample: MemorySample) -> None:
        """The newest look at the worker."""
        if self._running or not self._samples:
            self._samples.append(sample.rss)
            self._times.append(sample.at)
            self._total += 1
        else:
            self._samples[-1] = sample.rss
        self._last = sample
        self.changed()

    def add_mark(self, mark: MemoryMark) -> None:
        """Something happened that the curve may answer."""
        self._marks.append(mark)
        self.changed()

    def set_run(self, row: RunRow) -> None:
        """The newest run: what it saved for backward and how memory grew over it."""
        self._row = row
        self.changed()

    def set_leak(self, leak: Leak | None) -> None:
        """The measured climb, or its absence."""
        self._leak = leak
        self.changed()

    def set_account(self, account: MemoryAccount | None) -> None:
        """What each module saves for backward, once it was asked."""
        self._account = account
        self.changed()

    def clear(self) -> None:
        """Another worker, or another model: the curve stays, what was said of the old one goes."""
        self._row = self._leak = self._account = None
        self.changed()

    def make_lines(self, width: int, height: int) -> list[Line]:
        words = self._words(width, max(height // 2, 1))
        rows = height - len(words) - 1
        if rows < LEAST_PLOT or width < AXIS + 8 or not self._samples:
            return words
        if rows < PLOT_WITH_TIME:
            return [*words, *self._plot(width, rows)]
        return [*words, *self._plot(width, rows - 1), self._time(width)]

    def _words(self, width: int, most: int) -> list[Line]:
        """The figures and, where there is a leak, the sentence about it, in at most `most` lines."""
        if self._last is None:
            return [(("no sample of the worker yet", "dim"),)]
        figures = [("RSS", numbers.size(self._last.rss), "strong"), ("peak", numbers.size(self._last.peak), "")]
        if self._row is not None:
            figures.append(("growth", f"{numbers.growth(self._row.growth)}/run", ""))
            figures.append(("saved for backward", self._saved(self._row), ""))
        if self._leak is None:
            return flow(figures, width)[:most]
        leak = self._leak
        figures.append(("kept outputs", f"{leak.kept_outputs}", "warn" if leak.kept_outputs else ""))
        lines = flow(figures, width)
        sign, style = ("▲ ", "bad") if leak.climbing else ("= ", "good")
        remedy = wrapped(f"→ {leak.remedy}", width, "good", indent="  ") if leak.climbing and leak.remedy else []
        words = wrapped(f"{sign}{leak.words} {leak.full}".rstrip(), width, style, indent="  ")
        room = max(1, most - len(lines) - len(remedy))
        if len(words) > room:
            words = [*words[: room - 1], ((fit(text_of(words[room - 1]) + " " * width, width - 1), style),)]
        return [*lines, *words, *remedy][:most]

    def _saved(self, row: RunRow) -> str:
        """ "44.0 MB", and by module where that is known: "44.0 MB: body 38.0 MB, head 6.0 MB"."""
        words = numbers.size(row.saved_bytes)
        if not row.saved_bytes or self._account is None or not self._account.saved:
            return words
        return f"{words}: {top_words(self._account.saved, 3)}"

    def _plot(self, width: int, rows: int) -> list[Line]:
        """Axis, curve, the line of the peak, and the marks below."""
        cells, unicode = width - AXIS, self.unicode
        self._rescale(plot.capacity(cells, unicode))
        curve = plot.sweep(self._samples, self._total, cells, rows, self._scale, unicode)
        curve = plot.with_now(curve, self._total, unicode)
        labels = plot.axis(self._scale, rows, AXIS)
        peak = self._last.peak if self._last is not None else -1
        peak_row = plot.row_of(peak, rows, self._scale) if self._scale.holds(peak) else -1
        lines: list[Line] = []
        for row, (label, text) in enumerate(zip(labels, curve, strict=True)):
            drawn = _with_peak(text, unicode) if row == peak_row else ((text, "accent"),)
            lines.append(((label, "dim"), *drawn))
        marks = plot.marks_row(self._numbered_marks(), self._total, cells, unicode)
        lines.append(((" " * AXIS, ""), (marks, "warn")))
        return lines

    def _time(self, width: int) -> Line:
        """Where now is, and how long ago the oldest sample was taken."""
        cells, kept = width - AXIS, len(self._times)
        oldest = self._times[plot.first_shown(self._total, kept, cells, self.unicode) - self._total]
        text = plot.time_row(self._total, kept, cells, self.unicode, self._times[-1] - oldest)
        return ((" " * AXIS, ""), (text, "dim"))

    def _rescale(self, capacity: int) -> None:
        """Widen the axis when a value leaves it; fit it anew only where a sweep begins, so that it seldom moves."""
        fresh = self._total % capacity == 0
        newest = self._samples[-1]
        if not fresh and self._total > 1 and self._scale.holds(newest) and self._scale.high > 1.0:
            return
        seen = list(islice(reversed(self._samples), capacity))
        scale = plot.scale_for(min(seen), max(seen))
        if fresh or self._scale.high <= 1.0:
            self._scale = scale
        else:
            self._scale = plot.Scale(min(scale.low, self._scale.low), max(scale.high, self._scale.high))

    def _numbered_marks(self) -> list[tuple[int, str]]:
        """Marks with the number of the sample that each stands under."""
        first = self._total - len(self._samples)
        times = list(self._times)
        return [
            (min(first + bisect_left(times, mark.at), self._total - 1), mark.label)
            for mark in self._marks
            if times and mark.at >= times[0]
        ]


def _with_peak(text: str, unicode: bool) -> tuple[Span, ...]:
    """A row of the curve with a dashed line where it is blank."""
    dash = "╌" if unicode else "-"
    spans: list[Span] = []
    for char in text:
        piece, style = (dash, "dim") if char == " " else (char, "accent")
        if spans and spans[-1][1] == style:
            spans[-1] = (spans[-1][0] + piece, style)
        else:
            spans.append((piece, style))
    return tuple(spans)
