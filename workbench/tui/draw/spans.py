"""Lines as spans of text with a style name: what every drawing helper returns and every pane paints.

A style is one of `STYLES`, a small palette that a pane maps to its theme; colour never carries a
meaning alone, so a line read as plain text says the same. Pure; knows nothing of widgets.
"""

from __future__ import annotations

import textwrap

from rich.cells import cell_len, set_cell_size

Span = tuple[str, str]
"""Text and style name."""
Line = tuple[Span, ...]
"""One line, not padded."""

STYLES = ("", "dim", "good", "warn", "bad", "accent", "strong")
"""Style names: plain, secondary, holds, needs attention, broken, plotted or selected data, emphasised."""

MARK_STYLES = {"identical": "good", "noise": "good", "beyond": "bad", "incomparable": "warn"}
"""Style of a comparison's mark; the sign beside it says the same."""

_ASCII = str.maketrans(
    {
        "│": "|", "┃": "|", "┤": "|", "├": "|", "─": "-", "━": "-", "╌": "-", "┄": "-", "╸": "-", "┌": "+", "└": "+",
        "┆": ":", "▸": ">", "▾": "v", "▲": "^", "●": "*", "◌": "o", "■": "#", "★": "*", "·": "-", "–": "-", "—": "-",
        "≈": "~", "✗": "X", "×": "x", "Δ": "d", "…": ".", "→": ">", "≤": "<", "≥": ">", "≠": "!", "µ": "u", "²": "2",
        "▏": "#", "▎": "#", "▍": "#", "▌": "#", "▋": "#", "▊": "#", "▉": "#", "█": "#", "▐": "#", "✓": "v",
        "∞": "8", "±": "+", "←": "<", "↑": "^", "↓": "v", "‖": "|",
    }
)  # fmt: skip


def ascii_text(text: str) -> str:
    """`text` for a terminal without Unicode: our own signs as look-alikes, anything else as "?", the same width."""
    if text.isascii():
        return text
    folded = text.translate(_ASCII)
    if folded.isascii():
        return folded
    return "".join(char if char.isascii() else "?" * cell_len(char) for char in folded)


def fit(text: str, width: int, right: bool = False) -> str:
    """`text` in exactly `width` cells: padded (on the left with `right`), or cut with an ellipsis."""
    cells = cell_len(text)
    if cells <= width:
        return " " * (width - cells) + text if right else text + " " * (width - cells)
    if width <= 0:
        return ""
    return set_cell_size(text, width - 1) + "…"


def text_of(line: Line) -> str:
    """The line without its styles."""
    return "".join(text for text, _ in line)


def cells_of(line: Line) -> int:
    """Width of the line in cells."""
    return sum(cell_len(text) for text, _ in line)


def fit_line(line: Line, width: int, fill: str = "") -> Line:
    """The line in exactly `width` cells, with neighbours of one style joined; padding has the style `fill`."""
    spans: list[Span] = []
    left = width
    for text, style in line:
        cells = cell_len(text)
        if cells > left:
            text, cells = fit(text, left), left
        if text:
            _append(spans, text, style)
        left -= cells
        if left <= 0:
            break
    if left > 0:
        _append(spans, " " * left, fill)
    return tuple(spans)


def _append(spans: list[Span], text: str, style: str) -> None:
    if spans and (spans[-1][1] == style or (text.isspace() and not style)):
        spans[-1] = (spans[-1][0] + text, spans[-1][1])
    else:
        spans.append((text, style))


def wrapped(text: str, width: int, style: str = "", indent: str = "") -> list[Line]:
    """`text` as lines of at most `width` cells; every line but the first begins with `indent`."""
    lines: list[Line] = []
    for paragraph in text.split("\n"):
        parts = textwrap.wrap(paragraph, max(width, 8), subsequent_indent=indent) or [""]
        lines.extend(((part, style),) for part in parts)
    return lines


def packed(groups: list[Line], width: int, gap: int = 2, indent: int = 2) -> list[Line]:
    """Groups of spans one after the other, `gap` cells apart; a group that no longer fits begins the next line."""
    lines: list[list[Span]] = [[]]
    used = 0
    for group in groups:
        size = cells_of(group)
        if not size:
            continue
        if used and used + gap + size > width:
            lines.append([(" " * indent, "")] if indent else [])
            used = indent
        elif used:
            lines[-1].append((" " * gap, ""))
            used += gap
        lines[-1] += group
        used += size
    return [tuple(line) for line in lines if line]


def flow(figures: list[tuple[str, str, str]], width: int) -> list[Line]:
    """Labelled values one after the other, as many in a line as fit."""
    groups: list[Line] = [((label + " ", "dim"), (value, style)) for label, value, style in figures]
    return packed(groups, width, gap=3, indent=0)


def changed_cells(old: Line, new: Line) -> tuple[int, int]:
    """First cell and the cell after the last that differ between two lines of one width; (0, 0): none do."""
    start, after = _common(old, new), cells_of(new)
    if start == after:
        return 0, 0
    end = after - _common(_mirrored(old), _mirrored(new))
    return start, max(end, start + 1)


def _mirrored(line: Line) -> Line:
    return tuple((text[::-1], style) for text, style in reversed(line))


def _common(old: Line, new: Line) -> int:
    """Cells that two lines have in common at their beginning."""
    cells = 0
    left = list(reversed(old))
    for text, style in new:
        while text:
            if not left:
                return cells
            other, other_style = left.pop()
            if other_style != style:
                return cells
            size = min(len(text), len(other))
            if text[:size] != other[:size]:
                same = next(i for i in range(size) if text[i] != other[i])
                return cells + cell_len(text[:same])
            cells += cell_len(text[:size])
            text = text[size:]
            if size < len(other):
                left.append((other[size:], other_style))
    return cells
