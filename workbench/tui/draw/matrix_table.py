"""The mode matrix as lines: a table that drops columns where there is no room, and what is known of one cell. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from workbench.protocol.matrix import CRASHED, MEASURED, RAISED, WORKING, Matrix, MatrixCell
from workbench.report import matrix as words
from workbench.report.numbers import size
from workbench.tui.draw.spans import MARK_STYLES, Line, cells_of, fit, fit_line, wrapped

_WIDTHS = {
    "mode": 20, "answer": 17, "median": 8, "speed": 10, "run": 7, "saved": 7, "dtype": 8, "peak": 7, "changes": 28,
}  # fmt: skip
"""Columns and their cells, in the order in which they are given up from the end."""
_ORDER = ("mode", "dtype", "run", "answer", "median", "speed", "saved", "peak", "changes")
_TITLES = {"mode": "mode", "answer": "answers", "run": "run as", "changes": "a forward changes"}


@dataclass(frozen=True)
class Columns:
    """What fits into a width."""

    names: tuple[str, ...]


def columns_for(width: int, matrix: Matrix) -> Columns:
    """The columns that fit; one that says the same in every line comes last."""
    left = width - 2
    chosen = []
    wanted = [name for name in _WIDTHS if name != "dtype" or len({one.dtype for one in matrix.cells}) > 1]
    wanted = [name for name in wanted if name != "run" or any(one.cell.compiled for one in matrix.cells)]
    for name in wanted:
        left -= _WIDTHS[name] + 1
        if left < -1:
            break
        chosen.append(name)
    return Columns(tuple(name for name in _ORDER if name in chosen))


def title_line(columns: Columns) -> Line:
    return (("  ", "dim"), *((f"{fit(_TITLES.get(name, name), _WIDTHS[name])} ", "dim") for name in columns.names))


def cell_line(cell: MatrixCell, columns: Columns, recommended: bool, yardstick: str) -> Line:
    """One cell as a line; `yardstick` as in `Matrix`."""
    arrow = ("→ ", "good") if recommended else ("  ", "")
    return (
        arrow,
        *((f"{fit(_text(cell, name, yardstick), _WIDTHS[name])} ", _style(cell, name)) for name in columns.names),
    )


def _text(cell: MatrixCell, name: str, yardstick: str) -> str:
    if name == "mode":
        return f"{'train' if cell.cell.training else 'eval'} {cell.cell.grad}"
    if name == "answer":
        return words.answer(cell, yardstick).replace("random: not comparable", "random")
    if name == "saved":
        return size(cell.saved_bytes) if cell.status == MEASURED else ""
    made = {
        "dtype": cell.dtype, "run": "compile" if cell.cell.compiled else "eager", "median": words.latency(cell),
        "speed": words.ratio(cell), "peak": words.peak(cell), "changes": words.changes(cell),
    }  # fmt: skip
    return made[name]


def _style(cell: MatrixCell, name: str) -> str:
    if name == "answer":
        if cell.status in (RAISED, CRASHED):
            return "bad"
        if cell.status != MEASURED:
            return "accent" if cell.status == WORKING else "dim"
        return "warn" if cell.words.startswith("random") else MARK_STYLES.get(cell.mark, "")
    if name == "speed" and cell.ratio and not cell.same_speed and not cell.baseline:
        return "good" if cell.ratio > 1 else "warn"
    return "warn" if name == "changes" and cell.mutated else ""


def detail_lines(matrix: Matrix, cell: MatrixCell, width: int, most: int) -> list[Line]:
    """What is known of the cell at the cursor, what it was measured under, and the recommendation; `most` lines."""
    advice = wrapped(f"→ {matrix.words}", width, "good", indent="  ") if matrix.words else []
    notes = [line for text in (matrix.busy, matrix.baseline) if text for line in wrapped(text, width, "warn")]
    about = wrapped(words.cell_name(cell), width, "strong")
    for text in words.details(cell, matrix.yardstick):
        about += wrapped(text, width, "bad" if cell.reason else "", indent="  ")
    under = wrapped(words.conditions(matrix), width, "dim")
    room = max(2, most - len(advice))
    middle = [*about, *notes, *under]
    if len(middle) > room:
        middle = [*middle[: room - 1], fit_line((("…", "dim"),), min(width, 1))]
    made = [*middle, *advice][:most]
    return [line for line in made if cells_of(line)] or [((" ", ""),)]
