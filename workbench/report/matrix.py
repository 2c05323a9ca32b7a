"""The mode matrix as words and as JSON, the same on both faces. Pure."""

from __future__ import annotations

from typing import Any

from workbench.protocol.codec import plain
from workbench.protocol.matrix import CRASHED, MEASURED, RAISED, SKIPPED, WAITING, WORKING, Matrix, MatrixCell
from workbench.protocol.messages import Loaded
from workbench.protocol.runs import IDENTICAL, NOISE, SIGNS

from .marks import multiple_words
from .numbers import duration, measure, size
from .objects import SCHEMA, model_object

STATUS = {
    WAITING: "waiting", WORKING: "working …", RAISED: "raised", CRASHED: "crashed", SKIPPED: "not measured",
}  # fmt: skip
"""What stands in the place of a difference, where there is none."""


def cell_name(cell: MatrixCell) -> str:
    """ "eval · inference_mode · float32 · eager"."""
    key = cell.cell
    parts = ("train" if key.training else "eval", key.grad, cell.dtype, "compile" if key.compiled else "eager")
    return " · ".join(part for part in parts if part)


def answer(cell: MatrixCell, yardstick: str) -> str:
    """Beside the baseline's: "= identical", "≈ 0.4× the noise", "✗ max|Δ| 0.49", "? random: not comparable".

    `yardstick` as in `Matrix`.
    """
    if cell.status != MEASURED:
        return STATUS[cell.status]
    if cell.words.startswith("random"):
        return "? random: not comparable"
    if cell.baseline:
        return "baseline"
    sign = SIGNS.get(cell.mark, "?")
    if cell.mark == IDENTICAL:
        return f"{sign} identical"
    if cell.mark == NOISE:
        return f"{sign} {multiple_words(cell.noise_multiple, yardstick)}"
    if cell.max_abs:
        return f"{sign} max|Δ| {measure(cell.max_abs)}"
    return f"{sign} {cell.words or cell.mark}"


def ratio(cell: MatrixCell) -> str:
    """ "1.31×", "1.02× same" for no difference, "" when it was not timed beside the others."""
    if not cell.ratio:
        return ""
    if cell.baseline:
        return "1"
    return f"{cell.ratio:.2f}×" + (" same" if cell.same_speed else "")


def latency(cell: MatrixCell) -> str:
    """ "12.3 ms"; "~" before a time that one forward alone gave."""
    if cell.latency is None:
        return ""
    return f"{'' if cell.rounds else '~'}{duration(cell.latency.median)}"


def peak(cell: MatrixCell) -> str:
    return size(cell.peak_bytes) if cell.peak_bytes >= 0 else ""


def changes(cell: MatrixCell) -> str:
    """What a forward changed: "-", "norm.running_mean +3"."""
    if cell.status != MEASURED:
        return ""
    if not cell.mutated:
        return "-"
    return cell.mutated[0] + (f" +{len(cell.mutated) - 1}" if len(cell.mutated) > 1 else "")


def details(cell: MatrixCell, yardstick: str) -> list[str]:
    """Sentences about one cell, the most needed first; `yardstick` as in `Matrix`."""
    lines = []
    if cell.reason:
        lines.append(f"{cell.reason}" + (f"  → {cell.remedy}" if cell.remedy else ""))
    if cell.status != MEASURED:
        return lines
    if cell.cause or (cell.words and not cell.baseline):
        lines.append("; ".join(part for part in (cell.words, cell.cause) if part))
    if cell.mark and cell.mark != IDENTICAL:
        top1 = f", top-1 agrees {100 * cell.top1:.0f} %" if cell.top1 >= 0 else ""
        lines.append(f"max|Δ| {measure(cell.max_abs)}, {multiple_words(cell.noise_multiple, yardstick)}{top1}")
    if cell.latency is not None and cell.rounds:
        spread = cell.latency
        lines.append(
            f"median {duration(spread.median)}, p90 {duration(spread.p90)}, IQR {duration(spread.iqr)} over "
            f"{spread.count} forwards in {cell.rounds} rounds"
        )
    if cell.ratio and not cell.baseline:
        same = ", which the baseline shows beside itself, too: no difference" if cell.same_speed else ""
        lines.append(f"{cell.ratio:.2f}× the baseline's speed ({cell.ratio_low:.2f} to {cell.ratio_high:.2f}{same})")
    if cell.cell.compiled:
        lines.append(compiled_words(cell))
    lines.append(f"saves {size(cell.saved_bytes)} for backward" + (f", peak {peak(cell)}" if peak(cell) else ""))
    if cell.mutated:
        lines.append(f"a forward changes {', '.join(cell.mutated[:6])}" + (" …" if len(cell.mutated) > 6 else ""))
    return lines


def compiled_words(cell: MatrixCell) -> str:
    """ "compiled in 12.3 s, 1 graph"."""
    if not cell.graphs:
        return f"torch.compile made no graph of it: it runs as eager does (first call {duration(cell.compile_seconds)})"
    graphs = f"{cell.graphs} graph{'s' if cell.graphs != 1 else ''}"
    breaks = f", {cell.breaks} break{'s' if cell.breaks != 1 else ''} to Python" if cell.breaks else ""
    cached = ", from torch's cache on disk: a cold start takes longer" if cell.cached else ""
    return f"compiled in {duration(cell.compile_seconds)}: {graphs}{breaks}{cached}"


def conditions(matrix: Matrix) -> str:
    """Under which everything was measured, in a line."""
    parts = [matrix.device, f"{matrix.threads} threads"]
    if matrix.batch:
        parts.append(f"batch {matrix.batch}")
    if matrix.rounds:
        parts.append(f"{matrix.rounds} shuffled rounds")
    if matrix.control_high:
        parts.append(f"baseline against itself {matrix.control_low:.2f} to {matrix.control_high:.2f}×")
    elif matrix.ended:
        parts.append("too few rounds to compare speeds")
    if matrix.yardstick:
        by = {"float64": "eager's noise against float64", "tolerance": "torch's tolerance", "given": "--tolerance"}
        parts.append(f"judged by {by.get(matrix.yardstick, matrix.yardstick)}")
    return " · ".join(parts)


def matrix_object(loaded: Loaded, matrix: Matrix) -> dict[str, Any]:
    """`workbench matrix`: it measures and recommends and judges nobody, so its verdict is "pass" when the model ran."""
    record: dict[str, Any] = plain(matrix)
    cells = record.pop("cells")
    for place, (given, cell) in enumerate(zip(cells, matrix.cells, strict=True)):
        given |= {"name": cell_name(cell), "recommended": place == matrix.pick, **given.pop("cell")}
    chosen = cell_name(matrix.cells[matrix.pick]) if matrix.pick >= 0 else ""
    return {
        "schema": SCHEMA,
        "verdict": "pass",
        **model_object(loaded),
        "cells": cells,
        "recommendation": {"cell": chosen, "place": record.pop("pick"), "words": record.pop("words")},
        "matrix": record,
    }
