"""Which cell of the mode matrix to serve with, and why, in words. Pure: records in, a place and a sentence out."""

from __future__ import annotations

from collections.abc import Sequence

from workbench.protocol.matrix import MEASURED, MatrixCell
from workbench.protocol.runs import BEYOND, IDENTICAL, INCOMPARABLE, NOISE
from workbench.worker.bench.words import some
from workbench.worker.judge.leak import size

WORTH = 1.5
"""Times faster that a compiled cell, or one whose bits differ, must be (at its tenth percentile) to be served in the
place of an eager one with identical bits: the time at each start and a compiler on the server must be worth it."""

NEAR = 1.05
"""Times faster below which another cell is not worth a word."""

_ORDER = ("inference_mode", "no_grad", "grad")
"""Among equals: the mode that keeps the least first."""


def recommend(cells: Sequence[MatrixCell]) -> tuple[int, str]:
    """(place of the cell to serve with, why); -1 where none can be recommended."""
    baseline = next((cell for cell in cells if cell.baseline and cell.status == MEASURED), None)
    if baseline is None:
        return -1, ""
    if baseline.cause and baseline.words:
        return (
            -1,
            f"None can be recommended: even {name(baseline)} is {baseline.words.split(':')[0]}. {baseline.cause}.",
        )
    fit = [place for place, cell in enumerate(cells) if _fits(cell)]
    if not fit:
        changed = f"even {name(baseline)} changes {some(baseline.mutated, 3)}" if baseline.mutated else ""
        return -1, f"None can be recommended: {changed or 'no cell in eval answers like the baseline'}."
    plain = [place for place in fit if not cells[place].cell.compiled]
    same = [place for place in plain if cells[place].baseline or cells[place].mark == IDENTICAL]
    pick = min(same or plain or fit, key=lambda place: _rank(cells[place]))
    best = max(fit, key=lambda place: cells[place].ratio)
    chosen, fastest = cells[pick], cells[best]
    if best != pick and fastest.ratio_low >= WORTH * max(1.0, chosen.ratio) and not fastest.same_speed:
        pick, chosen = best, fastest
    return pick, " ".join([_sentence(chosen), *_others(cells, pick)])


def name(cell: MatrixCell) -> str:
    """ "eval · inference_mode · float32 · eager"."""
    key = cell.cell
    parts = ("train" if key.training else "eval", key.grad, cell.dtype, "compile" if key.compiled else "eager")
    return " · ".join(part for part in parts if part)


def _fits(cell: MatrixCell) -> bool:
    """Eval, answered like the baseline, and changes nothing."""
    answered = cell.baseline or cell.mark in (IDENTICAL, NOISE)
    return cell.status == MEASURED and not cell.cell.training and answered and not cell.mutated


def _rank(cell: MatrixCell) -> tuple[bool, float, int]:
    """Smaller is better: keeps nothing for backward, faster beyond the noise, then the mode's own order."""
    faster = 0.0 if cell.same_speed or not cell.ratio else -round(cell.ratio, 2)
    return cell.saved_bytes > 0, faster, _ORDER.index(cell.cell.grad)


def _sentence(cell: MatrixCell) -> str:
    answers = "it is what the others are compared with" if cell.baseline else _answers(cell)
    parts = [answers, speed(cell), f"saves {size(cell.saved_bytes)} for backward"]
    if cell.cell.compiled:
        parts.append(
            f"takes {cell.compile_seconds:.1f} s to compile at each start" + (", from a warm cache" * cell.cached)
        )
    return f"{name(cell)}: {', '.join(part for part in parts if part)}."


def _answers(cell: MatrixCell) -> str:
    if cell.mark == IDENTICAL:
        return "identical bits"
    return f"answers ≈ ({cell.noise_multiple:.1f}× the noise, within it)"


def speed(cell: MatrixCell) -> str:
    """ "1.04× (no difference: within the noise of the machine)", "1.3× (1.2 to 1.4)"; empty when it was not timed."""
    if not cell.ratio or cell.baseline:
        return ""
    spread = f"{cell.ratio_low:.2f} to {cell.ratio_high:.2f}"
    if cell.same_speed:
        return f"{cell.ratio:.2f}×, which is no difference here ({spread})"
    return f"{cell.ratio:.2f}× ({spread})"


def _others(cells: Sequence[MatrixCell], pick: int) -> list[str]:
    """What else a person may want to know: what is faster and why it was not taken, and what eval with grad costs."""
    chosen = cells[pick]
    words = []
    here = chosen.ratio or 1.0
    faster = [
        cell
        for place, cell in enumerate(cells)
        if place != pick and not cell.cell.training and cell.status == MEASURED
        and not cell.same_speed and cell.ratio > NEAR * max(1.0, here)
    ]  # fmt: skip
    if faster:
        best = max(faster, key=lambda cell: cell.ratio)
        words.append(f"{name(best)} is {best.ratio:.2f}× {_but(best)}.")
    kept = next((cell for cell in cells if _grad_twin(cell, chosen) and cell.saved_bytes), None)
    if kept is not None and not chosen.saved_bytes:
        words.append(f"Under grad it would save {size(kept.saved_bytes)} for backward with each forward.")
    return words


def _but(cell: MatrixCell) -> str:
    if cell.mutated:
        return f"but changes {cell.mutated[0]}"
    if cell.mark == NOISE:
        return f"but answers ≈ ({cell.noise_multiple:.1f}× the noise)" + _compiles(cell)
    if cell.mark == BEYOND:
        return f"but answers ✗ (max|Δ| {cell.max_abs:.2g}{', ' + cell.words if cell.words else ''})" + _compiles(cell)
    if cell.mark == INCOMPARABLE:
        return f"but cannot be compared: {cell.words}"
    return "with identical bits" + _compiles(cell)


def _compiles(cell: MatrixCell) -> str:
    return f" and takes {cell.compile_seconds:.1f} s to compile" if cell.cell.compiled else ""


def _grad_twin(cell: MatrixCell, chosen: MatrixCell) -> bool:
    return cell.cell.grad == "grad" and (cell.cell.training, cell.cell.cast, cell.cell.compiled) == (
        chosen.cell.training, chosen.cell.cast, chosen.cell.compiled,
    )  # fmt: skip
