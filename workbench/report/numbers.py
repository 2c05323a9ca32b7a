"""Numbers as short words, the same on both faces and in reports: bytes, counts, times, differences. Pure."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # names only: the app's first frame comes before the protocol is imported
    from workbench.protocol.artifacts import Speed
    from workbench.protocol.runs import Spread

_BYTE_UNITS = ("B", "kB", "MB", "GB", "TB", "PB")
_COUNT_UNITS = ("", " k", " M", " G", " T")


def size(count: float) -> str:
    """Bytes with 1024-based units: "0", "320 B", "49.5 MB", "812 MB"; at most 7 cells (8 with a sign)."""
    if not math.isfinite(count):
        return "?"
    sign, value, unit = ("-" if count < 0 else ""), abs(count), 0
    while value >= 999.5 and unit < len(_BYTE_UNITS) - 1:
        value /= 1024
        unit += 1
    if round(value, 1) == 0:
        return "0"
    digits = 1 if unit and round(value, 1) < 100 else 0
    return f"{sign}{value:.{digits}f} {_BYTE_UNITS[unit]}"


def growth(count: float) -> str:
    """Bytes gained a run, always with a sign: "+49.5 MB", "-4.0 kB", "±0"; at most 8 cells."""
    text = size(count)
    if text in ("0", "?"):
        return "±0" if text == "0" else text
    return text if count < 0 else "+" + text


def count(number: float) -> str:
    """How many, 1000-based: "12", "9.4 k", "148 k", "11.7 M"; at most 6 cells."""
    value, unit = abs(number), 0
    while value >= 999.5 and unit < len(_COUNT_UNITS) - 1:
        value /= 1000
        unit += 1
    digits = 1 if unit and round(value, 1) < 100 else 0
    return f"{'-' if number < 0 else ''}{value:.{digits}f}{_COUNT_UNITS[unit]}"


def rate(per_second: float) -> str:
    """How often a second: "0.12", "9.4", "12", "9.4 k"; at most 6 cells from a thousandth."""
    if 0 < per_second < 9.95:
        return f"{per_second:.2g}" if per_second >= 0.001 else "<0.001"
    return count(per_second)


def milliseconds(seconds: float) -> str:
    """A time as a bare number of ms with three figures: "0.0212", "12.3", "1234"; at most 6 cells below 1000 s."""
    value = seconds * 1e3
    if not math.isfinite(value):
        return "?"
    if value >= 99.95:
        return f"{value:.0f}"
    if value >= 9.995:
        return f"{value:.1f}"
    return f"{value:.2f}" if value >= 0.995 else f"{value:.4f}"


def duration(seconds: float) -> str:
    """A measured time: "20 µs", "12.3 ms", "3.4 s", "2 min 05 s"."""
    if not math.isfinite(seconds):
        return "?"
    if seconds < 0.9995e-3:
        return f"{seconds * 1e6:.{1 if seconds < 9.95e-6 else 0}f} µs"
    if seconds < 0.9995:
        return f"{seconds * 1e3:.{1 if seconds < 0.09995 else 0}f} ms"
    if seconds < 119.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s"


def clock(seconds: float) -> str:
    """Elapsed time: "00:41", "1:02:03"."""
    minutes, rest = divmod(int(max(0.0, seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes:02d}:{rest:02d}"


def measure(value: float) -> str:
    """A difference with two or three figures: "0", "0.491", "1.2e-07", "NaN"; at most 8 cells."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "inf" if value > 0 else "-inf"
    if value == 0:
        return "0"
    return f"{value:.3g}" if 1e-3 <= abs(value) < 1e4 else f"{value:.1e}"


def multiple(value: float) -> str:
    """A factor: "0.3×", "12×", "4e+05×"."""
    if not math.isfinite(value):
        return "∞×" if value > 0 else "?"
    if value < 9.95:
        return f"{value:.1f}×"
    return f"{value:.0f}×" if value < 99_999 else f"{value:.0e}×"


def share(part: int, whole: int, percent: bool = False) -> str:
    """Part of a whole: "10/10" while that is short, then (or with `percent`) a percentage that is never rounded to 0
    or to 100."""
    if whole < 10_000 and not percent:
        return f"{part}/{whole}"
    if part == 0 or part == whole:
        return f"{100 if part else 0} %"
    share = 100 * part / whole
    if share < 0.1:
        return "<0.1 %"
    return ">99.9 %" if share > 99.9 else f"{share:.1f} %"


DECADES = ("0", "<1e-15", *(f"1e{power}…" for power in range(-15, 3)), "≥1e3")
"""What each entry of `LeafDiff.decades` counts: "1e-7…" is from there to below 1e-6."""


DOUBTFUL_SPREAD = 0.1
"""Interquartile range over median above which a latency is shown with a warning."""


def doubtful(spread: Spread) -> bool:
    """Whether times vary too much for their median to be believed."""
    return spread.count > 1 and spread.median > 0 and spread.iqr / spread.median > DOUBTFUL_SPREAD


def no_difference(speed: Speed) -> bool:
    """Whether a speed proves no difference: it is within what eager shows against itself (A/A), or its own rounds
    are on both sides of 1."""
    return speed.control_low <= speed.ratio <= speed.control_high or speed.low < 1.0 < speed.high


def shape(dtype: str, dimensions: tuple[int, ...]) -> str:
    """ "float32[4,10]"."""
    return f"{dtype}[{','.join(map(str, dimensions))}]"
