"""The heat map of |Δ| with shades, its axes, and the scale that the shades stand for. Pure.

Shades are characters of growing density, so the map reads without colour.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from workbench.report import numbers
from workbench.tui.draw.spans import Line, Span

SHADES = ("·", "░", "▒", "▓", "█")
SHADES_ASCII = (".", "-", "+", "%", "@")
"""The first is exactly zero; the others have four levels."""

SHADE_STYLES = ("dim", "", "", "warn", "bad")

BROKEN = "!"
"""A block whose largest difference is NaN or infinite."""

LABEL = 6


def thresholds(values: Sequence[float]) -> tuple[float, float, float, float]:
    """Upper ends of the four levels: equal factors where values span more than a hundredfold, else equal steps."""
    positive = [value for value in values if value > 0 and math.isfinite(value)]
    if not positive:
        return (0.0, 0.0, 0.0, 0.0)
    low, high = min(positive), max(positive)
    if high > 100 * low:
        factor = (high / low) ** 0.25
        return (low * factor, low * factor**2, low * factor**3, high)
    return (high / 4, high / 2, high * 3 / 4, high)


def level_of(value: float, ends: Sequence[float]) -> int:
    """0 for zero, 1 to 4 for the levels, 5 for what is not finite."""
    if not math.isfinite(value):
        return 5
    if value <= 0:
        return 0
    return next((level for level, end in enumerate(ends, 1) if value <= end), 4)


def heat_map(heat: Sequence[Sequence[float]], rows: int, columns: int, width: int, unicode: bool) -> list[Line]:
    """The map of blocks of a matrix of `rows` by `columns`, with row numbers, a column axis and the legend."""
    if not heat or not heat[0]:
        return []
    room = max(1, width - LABEL - 1)
    merged = [_merged(row, room) for row in heat]
    cells = len(merged[0])
    twice = 2 * cells <= room
    ends = thresholds([value for row in merged for value in row])
    shades = (*(SHADES if unicode else SHADES_ASCII), BROKEN)
    styles = (*SHADE_STYLES, "bad")
    lines: list[Line] = []
    for number, row in enumerate(merged):
        spans: list[Span] = [(f"{number * rows // len(merged):>{LABEL - 1}}│", "dim")]
        for value in row:
            level = level_of(value, ends)
            text = shades[level] * (2 if twice else 1)
            if spans[-1][1] == styles[level] and len(spans) > 1:
                spans[-1] = (spans[-1][0] + text, styles[level])
            else:
                spans.append((text, styles[level]))
        lines.append(tuple(spans))
    drawn = cells * (2 if twice else 1)
    last = str(columns - 1)
    lines.append(((" " * (LABEL - 1) + "└0" + last.rjust(drawn - 1) if drawn > len(last) + 1 else "", "dim"),))
    return [*lines, *_legend(ends, shades, styles, width)]


def _merged(row: Sequence[float], room: int) -> list[float]:
    """At most `room` values, neighbours merged to their largest; one that is not finite wins."""
    if len(row) <= room:
        return list(row)
    merged = []
    for cell in range(room):
        part = row[cell * len(row) // room : (cell + 1) * len(row) // room]
        broken = [value for value in part if not math.isfinite(value)]
        merged.append(broken[0] if broken else max(part))
    return merged


def _legend(ends: Sequence[float], shades: Sequence[str], styles: Sequence[str], width: int) -> list[Line]:
    parts: list[tuple[Span, Span]] = [((shades[0], styles[0]), (" 0", "dim"))]
    if ends[-1] > 0:
        parts += [
            ((shades[level], styles[level]), (f" ≤{numbers.measure(end)}", "dim")) for level, end in enumerate(ends, 1)
        ]
    parts.append(((shades[5], styles[5]), (" NaN/inf", "dim")))
    lines: list[list[Span]] = [[]]
    used = 0
    for shade, words in parts:
        size = len(shade[0]) + len(words[0]) + 2
        if used and used + size > width:
            lines.append([])
            used = 0
        lines[-1] += [("  ", ""), shade, words]
        used += size
    return [tuple(line) for line in lines]
