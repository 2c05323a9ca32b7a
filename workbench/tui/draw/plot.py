"""A sweeping plot as text: the newest sample overwrites the oldest, and nothing ever scrolls.

A sample's column is its number modulo the plot's width, so a new sample changes two columns only: its own
and the gap that runs ahead of it. Pure: samples in, rows of text out.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from rich.cells import cell_len

from workbench.report import numbers

DOTS = ((0x01, 0x02, 0x04, 0x40), (0x08, 0x10, 0x20, 0x80))
"""Bits of a braille cell by column and row."""

GAP_CELLS = 2
"""Blank cells ahead of the newest sample."""

LEAST_SPAN = 0.2
"""Smallest range of the axis, relative to its value: what the allocator takes and gives back with every run, a few in
a hundred of RSS, is to look as flat as it is."""

LEAST_BYTES = 64 << 20
"""Smallest range of the axis in bytes."""

NOW = ("┆", ":")
"""What stands in the gap after the newest sample, with Unicode and without."""


@dataclass(frozen=True)
class Scale:
    """The range of the y axis."""

    low: float
    high: float

    def holds(self, value: float) -> bool:
        return self.low <= value <= self.high


def scale_for(low: float, high: float) -> Scale:
    """Round bounds (a 1-2-5 step of bytes, kB, MB …) around values from `low` to `high`, never a hair's breadth."""
    span = max(high - low, LEAST_SPAN * abs(high), LEAST_BYTES)
    low = max(0.0, (low + high - span) / 2)  # values that fill less of it stand in the middle
    high = low + span
    unit = 1024.0 ** int(math.log(span, 1024))
    power = 10.0 ** math.floor(math.log10(span / 4 / unit))
    step = next(factor for factor in (1, 2, 5, 10) if factor * power * unit >= span / 4) * power * unit
    bottom = max(0.0, math.floor((low - step / 4) / step) * step)
    top = math.ceil((high + step / 4) / step) * step
    while top - bottom < span:
        top += step
    return Scale(bottom, top)


def capacity(width: int, unicode: bool) -> int:
    """How many samples one sweep of a plot of `width` cells holds."""
    return width * (2 if unicode else 1)


def cell_of(number: int, width: int, unicode: bool) -> int:
    """Column of cells that the sample with this number is drawn in."""
    return number % capacity(width, unicode) // (2 if unicode else 1)


def is_shown(number: int, total: int, width: int, unicode: bool) -> bool:
    """Whether a sample has not been overwritten yet, when `total` were taken."""
    lost = total - capacity(width, unicode) + capacity(GAP_CELLS, unicode)
    return max(0, lost) <= number < total


def sweep(samples: Sequence[float], total: int, width: int, height: int, scale: Scale, unicode: bool) -> list[str]:
    """The plot in `height` rows of `width` cells, top first.

    `samples` are the newest ones, oldest first; `total` is how many were ever taken: the last is number `total - 1`.
    """
    columns, levels = (2, 4) if unicode else (1, 1)
    steps = height * levels
    span = (scale.high - scale.low) or 1.0
    grid = [[0] * width for _ in range(height)]
    first = first_shown(total, len(samples), width, unicode)

    def level_of(number: int) -> int:
        return min(steps - 1, max(0, int((samples[number - total] - scale.low) / span * steps)))

    before = level_of(first - 1) if first > max(0, total - len(samples)) else -1
    for number in range(first, total):
        level = level_of(number)
        cell, side = divmod(number % (width * columns), columns)
        start, end = (level, level) if before < 0 else sorted((before + (level > before) - (level < before), level))
        for at in range(start if before != level else level, end + 1):
            row, dot = divmod(steps - 1 - at, levels)
            grid[row][cell] |= DOTS[side][dot] if unicode else (1 if at == level else 2)
        before = level
    if unicode:
        return ["".join(chr(0x2800 + bits) if bits else " " for bits in row) for row in grid]
    return ["".join(" *|*"[bits] for bits in row) for row in grid]


def row_of(value: float, height: int, scale: Scale) -> int:
    """Row (0 is the top) that a value lies in."""
    share = (value - scale.low) / ((scale.high - scale.low) or 1.0)
    return min(height - 1, max(0, height - 1 - int(share * height)))


def axis(scale: Scale, height: int, width: int) -> list[str]:
    """Labels at the top, the middle and the bottom, right-aligned in `width` cells, one row each."""
    labels = [" " * (width - 1) + "│"] * height
    places = {0: scale.high, height - 1: scale.low}
    if height >= 5:
        middle = height // 2
        places[middle] = scale.high - (scale.high - scale.low) * (middle + 0.5) / height
    for row, value in places.items():
        labels[row] = f"{numbers.size(value):>{width - 1}}┤"
    return labels


def with_now(rows: Sequence[str], total: int, unicode: bool) -> list[str]:
    """The plot with a sign in the gap after the newest sample, above and below: right of it stands what is oldest.

    Not in every row, for the sign goes on with every second sample.
    """
    if not total or not rows:
        return list(rows)
    width = len(rows[0])
    at = (cell_of(total - 1, width, unicode) + 1) % width
    signed = (0, len(rows) - 1)
    return [row[:at] + NOW[not unicode] + row[at + 1 :] if place in signed else row for place, row in enumerate(rows)]


def time_row(total: int, kept: int, width: int, unicode: bool, seconds: float) -> str:
    """One row with "now" below the newest sample and "32 s ago" below the oldest that is shown, `seconds` before it.

    `kept` of the `total` samples are known.
    """
    cells = [" "] * width
    head = cell_of(total - 1, width, unicode)
    start = max(0, head - 2)
    cells[start : start + 3] = "now"
    oldest = cell_of(first_shown(total, kept, width, unicode), width, unicode)
    age = f"{seconds:.0f} s ago" if seconds < 120 else f"{seconds / 60:.0f} min ago"
    place = min(oldest, width - len(age))
    if seconds >= 1 and _free(cells, place, place + len(age)):
        cells[place : place + len(age)] = age
    return "".join(cells)


def first_shown(total: int, kept: int, width: int, unicode: bool) -> int:
    """Number of the oldest sample that is still drawn."""
    return max(total - kept, total - capacity(width - GAP_CELLS, unicode), 0)


def marks_row(marks: Sequence[tuple[int, str]], total: int, width: int, unicode: bool) -> str:
    """One row with "▲label" below the samples they belong to.

    `marks` are (sample number, label), oldest first. Where there is no room for all labels, modes come before runs and
    the newest first; those that fall on one column share it, and without a label a mark is a bare "▲".
    """
    cells = [" "] * width
    groups: dict[int, tuple[list[str], list[str]]] = {}
    for number, label in marks:
        if is_shown(number, total, width, unicode) and cell_len(label) == len(label):
            place = cell_of(number, width, unicode)
            modes, runs = groups.pop(place, ([], []))  # put in again: the column of the newest comes last
            (runs if label.startswith("#") else modes).append(label)
            groups[place] = (modes, runs)
    newest_first = list(reversed(groups.items()))
    for place, (modes, runs) in newest_first:
        if modes:
            _mark(cells, place, (" ".join([*modes, *runs[-1:]]), " ".join(modes), modes[-1], ""))
    for place, (modes, runs) in newest_first:
        if not modes:
            _mark(cells, place, (runs[-1], ""))
    return "".join(cells)


def _mark(cells: list[str], place: int, labels: Sequence[str]) -> None:
    """The first of these labels that has room on either side of its "▲"; the empty one needs its own cell only."""
    for label in labels:
        size = len(label) + 1
        if _free(cells, place, place + size):
            cells[place : place + size] = "▲" + label
            return
        if _free(cells, place - size + 1, place + 1):
            cells[place - size + 1 : place + 1] = label + "▲"
            return
    if cells[place] == " ":
        cells[place] = "▲"


def _free(cells: list[str], start: int, end: int) -> bool:
    """Whether a label fits there with a blank on either side."""
    return start >= 0 and end <= len(cells) and all(cell == " " for cell in cells[max(0, start - 1) : end + 1])
