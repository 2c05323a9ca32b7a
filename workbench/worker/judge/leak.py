"""Does memory climb with each run, by how much, and why: numbers in, a `Leak` in words out.

Pure: it reads no clock, no process and no model.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from workbench.protocol.memory import Leak

LEAST_RUNS = 5
"""Runs before anything is said."""
MOST_POINTS = 512
"""Points kept in a series; beyond this every second one goes."""
WARM_UP = 2
"""Runs at the start of a series that do not count: allocators fill, kernels are chosen, pages are touched."""
NOISE_FLOOR = 1 << 20
"""Bytes in all below which a climb is not told from the allocator's own steps."""
CERTAIN = 4.0
"""Standard errors by which a slope must exceed zero: points of one process are not independent, so more than 2."""


@dataclass(frozen=True)
class Fit:
    """A line through (run, bytes)."""

    slope: float
    """Bytes a run."""
    error: float
    """Its standard error."""
    runs: int
    """From the first point's run to the last."""
    climbing: bool


@dataclass(frozen=True)
class Holding:
    """What the runs of a series were like, for the reason."""

    run: int
    grad: str
    keep: bool
    kept_outputs: int
    """In all."""
    kept_since: int
    """Those of this series."""
    saved_bytes: int
    output_bytes: int
    graph: str = ""
    """Name of an attribute of the model's that holds a tensor with a graph behind it; empty: none is known of."""


class Series:
    """Bounded points (run, bytes) of consecutive runs under the same modes."""

    def __init__(self) -> None:
        self._points: list[tuple[int, int]] = []
        self._stride, self._skip = 1, 0

    @property
    def points(self) -> tuple[tuple[int, int], ...]:
        return tuple(self._points)

    @property
    def last(self) -> int:
        """The last run added; 0: none."""
        return self._points[-1][0] if self._points else 0

    def add(self, run: int, held: int) -> None:
        """`held`: anonymous bytes after forward number `run`, without what the bench itself keeps."""
        self._skip += 1
        if self._skip < self._stride:
            return
        self._skip = 0
        self._points.append((run, held))
        if len(self._points) >= MOST_POINTS:
            del self._points[1::2]
            self._stride *= 2


def fit(points: Sequence[tuple[int, int]]) -> Fit | None:
    """Least squares without the warm-up; None with fewer than `LEAST_RUNS` runs or three points."""
    if not points or points[-1][0] - points[0][0] + 1 < LEAST_RUNS:
        return None
    warm = [point for point in points if point[0] >= points[0][0] + WARM_UP]
    used = warm if len(warm) >= 3 else list(points)
    if len(used) < 3:
        return None
    slope, deviation = _line(used)
    span = used[-1][0] - used[0][0]
    late = used[len(used) // 2 :]
    # a climb that ends is warm-up: the later half must go on climbing
    going_on = len(late) < 3 or _line(late)[0] > 0.25 * slope
    climbing = slope > CERTAIN * deviation and slope * span > NOISE_FLOOR and going_on
    return Fit(slope, deviation, points[-1][0] - points[0][0] + 1, climbing)


def slope(points: Sequence[tuple[int, int]]) -> float:
    """Bytes a run over a row: least squares without its first point where there are enough, else first to last."""
    if len(points) < 2:
        return 0.0
    if len(points) < 4:
        return (points[-1][1] - points[0][1]) / (points[-1][0] - points[0][0])
    return _line(points[1:])[0]


def _line(points: Sequence[tuple[int, int]]) -> tuple[float, float]:
    """Slope and its standard error."""
    count = len(points)
    mean_x = sum(x for x, _ in points) / count
    mean_y = sum(y for _, y in points) / count
    spread = sum((x - mean_x) ** 2 for x, _ in points)
    slope = sum((x - mean_x) * (y - mean_y) for x, y in points) / spread
    residual = sum((y - mean_y - slope * (x - mean_x)) ** 2 for x, y in points)
    return slope, math.sqrt(residual / max(1, count - 2) / spread)


def explain(line: Fit, holding: Holding, available: int = 0, seconds: float = 0.0) -> Leak:
    """The record that says what was measured and why.

    `available` bytes may still be taken (0: not known), and a forward takes `seconds`: when it climbs, in how many runs
    the memory will be full.
    """
    words, remedy = _climbing(line, holding) if line.climbing else (_flat(line, holding), "")
    runs = int(available / line.slope) if line.climbing and available and line.slope > 0 else 0
    full = ""
    if runs:
        pace = f", {_clock(runs * seconds)} of firing without a pause" if seconds > 0 else ""
        full = f"At this slope the {size(available)} that are left are full in {runs} runs{pace}."
    return Leak(
        holding.run,
        line.slope,
        line.error,
        line.runs,
        holding.kept_outputs,
        holding.saved_bytes,
        line.climbing,
        words,
        remedy,
        runs,
        runs * seconds,
        full,
    )


def _climbing(line: Fit, holding: Holding) -> tuple[str, str]:
    start = f"Memory climbs {size(line.slope)} a run"
    if holding.keep and holding.saved_bytes:
        words = (
            f"{start}: each kept output holds its graph and {size(holding.saved_bytes)} of activations saved for "
            "backward. eval() does not stop this; no_grad does."
        )
        return words, "Run under no_grad (g, or --grad no_grad), or keep output.detach() or loss.item()."
    if holding.keep and holding.output_bytes and line.slope < 2 * holding.output_bytes + 4096:
        words = f"{start}: the kept outputs themselves, {size(holding.output_bytes)} each; no graph is behind them."
        return words, "Keep fewer outputs, or move them to a file."
    if holding.keep:
        return f"{start}, more than the kept outputs of {size(holding.output_bytes)} explain.", _OWN_REMEDY
    if holding.graph:
        words = f"{start} though every output is dropped: the model keeps its own graph, behind {holding.graph}."
        return words, f"Keep it detached: self.{holding.graph.rpartition('.')[2]} = ….detach()."
    words = (
        f"{start} though every output is dropped: something in the model or its file holds on to what each run makes, "
        "an attribute, a list or a cache."
    )
    return words, _OWN_REMEDY


_OWN_REMEDY = "Look in forward for tensors appended to self or to a global, and keep them detached or not at all."


def _flat(line: Fit, holding: Holding) -> str:
    start = f"Memory is flat ({_megabytes(line.slope)} ± {_megabytes(line.error)} MB a run)"
    if holding.keep and not holding.saved_bytes and holding.kept_since:
        under = f"under {holding.grad} " if holding.grad != "grad" else ""
        return f"{start}: {under}the {holding.kept_since} kept outputs are {size(holding.output_bytes)} each."
    if holding.keep and holding.saved_bytes:
        return f"{start}: each kept output holds only {size(holding.saved_bytes)} saved for backward."
    if holding.saved_bytes:
        return (
            f"{start}: each output is dropped, and with it the {size(holding.saved_bytes)} that its graph saved for "
            "backward. It would climb if outputs were kept."
        )
    return f"{start}: each output is dropped."


def _clock(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.0f} s" if seconds >= 1 else "less than a second"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.0f} h"


_UNITS = ("bytes", "kB", "MB", "GB")


def _megabytes(count: float) -> str:
    value = count / (1 << 20)
    return f"{0.0 if abs(value) < 0.05 else value:.1f}"  # never "-0.0"


def size(count: float) -> str:
    """ "320 bytes", "49.5 MB", "812 MB" (1024-based)."""
    if abs(count) < 1024:
        return f"{count:.0f} bytes"
    power = min(3, int(math.log2(abs(count)) / 10))
    count /= 1024**power
    return f"{count:.1f} {_UNITS[power]}" if abs(count) < 99.95 else f"{count:.0f} {_UNITS[power]}"
