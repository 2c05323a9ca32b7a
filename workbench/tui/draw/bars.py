"""The histogram of |Δ| by decade as horizontal bars with their counts. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from workbench.tui.draw.spans import Line

EIGHTHS = " ▏▎▍▌▋▊▉"

LABEL = 7
"""Cells of "<1e-15 "."""


def bar(share: float, width: int, unicode: bool) -> str:
    """A bar of `share` (0 to 1) of `width` cells; anything above zero is at least visible."""
    if share <= 0 or width <= 0:
        return ""
    if not unicode:
        return "#" * max(1, round(share * width))
    eighths = max(1, round(share * width * 8))
    full, rest = divmod(eighths, 8)
    return "█" * full + (EIGHTHS[rest] if rest else "")


def decade_label(entry: int, last: int) -> str:
    """Lower edge of a decade: entry 0 counts zero, entry k those from 1e(k-17) on, the ends open."""
    if entry == 0:
        return "0"
    if entry == 1:
        return "<1e-15"
    return f"{'≥' if entry == last else ''}1e{entry - 17:+03d}"


def histogram(decades: Sequence[int], width: int, unicode: bool) -> list[Line]:
    """One line a decade, from the smallest that holds anything to the largest, and zero when it holds anything."""
    filled = [entry for entry, held in enumerate(decades) if held and entry]
    entries = list(range(filled[0], filled[-1] + 1)) if filled else []
    if decades and decades[0]:
        entries.insert(0, 0)
    if not entries:
        return []
    largest = max(decades[entry] for entry in entries)
    figures = [f"{decades[entry]:,}" for entry in entries]
    room = max(1, width - LABEL - 1 - max(map(len, figures)) - 1)
    lines: list[Line] = []
    for entry, figure in zip(entries, figures, strict=True):
        drawn = bar(decades[entry] / largest, room, unicode)
        style = "good" if entry == 0 else "accent"
        lines.append(
            ((f"{decade_label(entry, len(decades) - 1):>{LABEL - 1}}│", "dim"), (drawn, style), (f" {figure}", ""))
        )
    return lines
