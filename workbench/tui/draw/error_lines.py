"""A table of errors as lines: one a module call, walking down the model. Pure."""

from __future__ import annotations

import math

from rich.cells import cell_len

from workbench.protocol.cause import CallError, ErrorTable
from workbench.report.numbers import measure
from workbench.tui.draw.bars import bar
from workbench.tui.draw.spans import Line, fit, wrapped

NUMBER = 8
"""Cells of a number."""
DECADES = 8
"""The bar reaches from 1e-8 of the RMS to all of it."""
WORDS = 4
"""Most lines of the sentence above the table."""


def widths(width: int) -> tuple[int, int, int]:
    """Cells of module, type and bar in a line of `width`."""
    left = max(0, width - 2 - 3 * (NUMBER + 1))
    kind, drawn = (min(24, left // 4), min(24, left // 5)) if left >= 30 else (0, 0)
    return max(1, left - kind - drawn - 2), kind, drawn


def head_lines(table: ErrorTable, width: int) -> list[Line]:
    """What the table says, and the names of its columns."""
    lines = wrapped(table.words, width, "strong")[:WORDS]
    for note in table.notes:
        lines += wrapped(note, width, "dim")
    if table.total > len(table.calls):
        lines.append(((f"the first {len(table.calls)} of {table.total} calls", "dim"),))
    module, kind, drawn = widths(width)
    numbers = " ".join(fit(name, NUMBER, right=True) for name in ("given", "own", "answer"))
    names = f"  {fit('module', module)} {fit('type', kind)} {numbers} {fit('1e-8 to 1', drawn)}"
    return [*lines, (), ((names.rstrip(), "dim"),)]


def call_line(table: ErrorTable, place: int, width: int, unicode: bool) -> Line:
    """One call: where it starts or grows, module, type, what it was given, what it makes, what comes out."""
    call = table.calls[place]
    module, kind, drawn = widths(width)
    own = beyond(call)
    number = f" ×{call.call + 1}" if call.call else ""
    name = "  " * min(call.depth, 8) + (call.path.rpartition(".")[2] or "(root)") + number
    if cell_len(name) > module:
        name = name.lstrip()
    return (
        (_mark(table, place), "warn"),
        (fit(name, module) + " ", "strong" if place == table.starts else ""),
        (fit(call.type, kind) + " ", "dim"),
        (_number(call.received) + " ", ""),
        (_number(call.local) + " ", "bad" if own else ""),
        (_number(call.answered) + " ", ""),
        (bar(_share(call.answered), drawn, unicode), "bad" if own and not call.inner else "accent"),
    )


def foot_lines(table: ErrorTable, place: int, width: int) -> list[Line]:
    """The selected call in words: its path, its error against its noise, its line."""
    call = table.calls[place]
    title = f"{call.path or '(root)'} · {call.type} · call {call.call + 1}"
    places = (("the error starts here", table.starts), ("it grows most here", table.grows))
    said = [words for words, at in places if at == place]
    if call.note:
        said.append(call.note)
    elif call.limit and math.isfinite(call.local):
        said.append(f"own error {call.local / call.limit:.2g}× the noise of {measure(call.limit)}")
    return [
        (("─" * width, "dim"),),
        ((fit(title, width), ""),),
        ((fit(", ".join(said), width), "warn" if place in (table.starts, table.grows) else "dim"),),
        ((fit(call.where, width), "dim"),),
    ]


def _mark(table: ErrorTable, place: int) -> str:
    return "● " if place == table.starts else "▲ " if place == table.grows else "  "


def _number(value: float) -> str:
    return fit("—" if math.isnan(value) else measure(value), NUMBER, right=True)


def _share(value: float) -> float:
    """Place of an error on the logarithmic bar, 0 to 1."""
    if math.isnan(value) or value <= 0:
        return 0.0
    return 1.0 if math.isinf(value) else max(0.02, min(1.0, 1 + math.log10(value) / DECADES))


def beyond(call: CallError) -> bool:
    """It makes an error of its own."""
    return call.local > call.limit
