"""The table of runs as lines: which columns there is room for, and what a row says in each. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace

from rich.cells import cell_len

from workbench.protocol.model import Modes
from workbench.protocol.runs import IDENTICAL, INCOMPARABLE, SIGNS, RunRow
from workbench.report import numbers
from workbench.report.marks import measured_in
from workbench.tui.draw.spans import MARK_STYLES, Line, Span, fit


@dataclass(frozen=True)
class Column:
    """A column and when it gives way."""

    key: str
    title: str
    width: int
    """Cells, without those that separate it from the next."""
    rank: int
    """Columns with a higher rank are dropped first; 0: never."""
    right: bool = True
    grows: int = 0
    """Further cells it can use when there is room."""


COLUMNS = (
    Column("run", "#", 4, 0),
    Column("times", "", 4, 2, right=False),
    Column("training", "mode", 5, 0, right=False),
    Column("grad", "grad", 7, 0, right=False),
    Column("ms", "ms", 6, 0),
    Column("p99", "p99", 6, 6),
    Column("rate", "runs/s", 7, 9),
    Column("against", "against", 11, 0, right=False, grows=24),
    Column("cause", "cause", 16, 1, right=False, grows=40),
    Column("saved", "saved", 7, 5),
    Column("rss", "RSS", 7, 3),
    Column("growth", "growth", 8, 4),
    Column("dtype", "dtype", 8, 8, right=False),
)
"""In the order they are shown; the ranks say what is looked for last."""

_GRAD = {"inference_mode": "infer"}


@dataclass(frozen=True)
class Layout:
    """The columns that are shown at one width."""

    columns: tuple[Column, ...]
    gap: str


def layout_for(width: int) -> Layout:
    """The columns that fit in `width` cells, those that can grow made wider with what is left."""
    shown = list(COLUMNS)

    def total(gap: int = 1) -> int:
        return sum(column.width for column in shown) + gap * (len(shown) - 1)

    while total() > width and any(column.rank for column in shown):
        shown.remove(max(shown, key=lambda column: column.rank))
    gap = 2 if total(2) <= width else 1
    left = max(0, width - total(gap))
    fitted = []
    for column in shown:
        more = min(column.grows, left if column.key == "cause" else (left + 1) // 2)
        left -= more
        fitted.append(replace(column, width=column.width + more))
    return Layout(tuple(fitted), " " * gap)


def title_line(layout: Layout, reference: int) -> Line:
    """The titles; `reference` is the run others are compared with, 0 for none yet."""
    titles = {"against": f"against #{reference}" if reference else "against"}
    cells = [fit(titles.get(column.key, column.title), column.width, column.right) for column in layout.columns]
    return ((layout.gap.join(cells), "dim"),)


def row_line(row: RunRow, layout: Layout) -> Line:
    """One run in its columns."""
    spans: list[Span] = []
    for position, column in enumerate(layout.columns):
        text, style = _cell(row, column)
        spans.append(((layout.gap if position else "") + fit(text, column.width, column.right), style if text else ""))
    return tuple(spans)


def _cell(row: RunRow, column: Column) -> Span:
    match column.key:
        case "run":
            return (
                f"{'◌' if row.running else '★' if row.reference else '■' if row.pinned else ''}{row.run}",
                "strong" if row.reference else "",
            )
        case "times":
            return _times(row.count), ""
        case "training":
            return row.training, "warn" if row.training == "mix" else ""
        case "grad":
            return _GRAD.get(row.grad, row.grad), ""
        case "ms":
            return numbers.milliseconds(row.latency.median) if row.count else "", ""
        case "p99":
            return (numbers.milliseconds(row.latency.p99) if row.count > 1 else ""), "dim"
        case "rate":
            return (numbers.rate(row.latency.per_second) if row.count > 1 else ""), "dim"
        case "against":
            return against_text(row, column.width), MARK_STYLES.get(row.mark, "dim")
        case "cause":
            return _cause(row)
        case "saved":
            return numbers.size(row.saved_bytes), ""
        case "rss":
            return numbers.size(row.rss), ""
        case "growth":
            return numbers.growth(row.growth), ""
        case _:
            return row.dtype, "dim"


def against_text(row: RunRow, width: int) -> str:
    """Sign and numbers: "✗ 0.49 · = #3 · 10/10 · 4e+05× noise"; what does not fit is left out from the right.

    "= #3" says that the run just before gave the same bits: not the reference's answer, but one that repeats.
    """
    if row.reference:
        return "reference"
    if not row.mark:
        return "…" if row.running else "-"
    sign = SIGNS.get(row.mark, "?")
    if row.mark == INCOMPARABLE:
        return f"{sign} incomparable" if width >= 14 else f"{sign} n/a"
    if row.mark == IDENTICAL:
        return f"{sign} identical"
    text = f"{sign} {numbers.measure(row.max_abs)}"
    again = (f"{SIGNS[IDENTICAL]} #{row.same_as}",) if row.same_as else ()
    unit = measured_in(row.yardstick).removeprefix("the ")
    multiple = (f"{numbers.multiple(row.noise_multiple)} {unit}",) if row.yardstick else ()
    for part in (*again, numbers.share(row.mismatched, row.elements), *multiple):
        longer = f"{text} · {part}"
        if cell_len(longer) > width:
            break
        text = longer
    return text


def _cause(row: RunRow) -> Span:
    """What is known about the difference, and otherwise what else is worth knowing about the row."""
    if row.cause:
        return row.cause, "warn"
    if row.differing > 0 and row.compared > 1:
        return f"{row.differing} of {row.compared} runs differ", ""
    return row.note, "dim"


def _times(count: int) -> str:
    """ "×100", "×12k"; "" for a single run; at most 5 cells."""
    if count <= 1:
        return ""
    for unit, size in (("M", 1_000_000), ("k", 1_000)):
        if count >= size:
            return f"×{count // size}{unit}"
    return f"×{count}"


def detail_line(row: RunRow) -> Line:
    """Everything that is known of one run, the most telling first; it may be cut at the right."""
    spans: list[Span] = [(f"#{row.run}{_times(row.count)}", "strong")]
    latency = row.latency
    if row.count > 1:
        doubt = latency.iqr / latency.median if latency.median else 0.0
        wide = numbers.doubtful(latency)
        spans.append((f"  median {numbers.duration(latency.median)}  p90 {numbers.duration(latency.p90)}", ""))
        spans.append((f"  p99 {numbers.duration(latency.p99)}  {numbers.rate(latency.per_second)} runs/s", ""))
        spans.append((f"  spread {doubt:.0%}{' (too wide to conclude)' if wide else ''}", "warn" if wide else ""))
    else:
        spans.append((f"  {numbers.duration(latency.median)}", ""))
    if row.differing and row.compared > 1:
        spans.append((f"  {row.differing} of {row.compared} differ", "warn"))
    if row.mark:
        spans.append((f"  {against_text(row, 999)}", MARK_STYLES.get(row.mark, "warn")))
    if row.pinned:
        spans.append(("  pinned", "accent"))
    if row.cause:
        spans.append((f"  {row.cause}", "warn"))
    if row.cuda is not None:
        spans.append((f"  CUDA {numbers.size(row.cuda.allocated)}, peak {numbers.size(row.cuda.peak)}", ""))
    spans.append((f"  output {numbers.size(row.output_bytes)}", "dim"))
    if row.note:
        spans.append((f"  {row.note}", "dim"))
    return tuple(spans)


def modes_line(modes: Modes, batch: int, width: int) -> Line:
    """The switch board in one line; the least telling switches give way when it is narrow."""
    rng = f"rng fixed {modes.seed}" if modes.rng == "fixed" else "rng free"
    parts: list[tuple[Span, int]] = [
        ((modes.training_word, "warn" if modes.flips else "strong"), 0),
        ((modes.grad, "strong"), 0),
        ((rng, ""), 1),
        ((f"batch {batch}" if batch else "", ""), 4),
        ((modes.dtype or "dtype as loaded", "" if modes.dtype else "dim"), 5 if modes.dtype else 7),
        ((modes.device, ""), 3),
        ((f"threads {modes.threads}" if modes.threads else "threads auto", "" if modes.threads else "dim"), 6),
        (("KEEPS OUTPUTS" if modes.keep_outputs else "outputs dropped", "warn" if modes.keep_outputs else "dim"), 2),
    ]
    parts = [part for part in parts if part[0][0]]
    while len(parts) > 2 and sum(cell_len(part[0][0]) + 3 for part in parts) - 3 > width:
        parts.remove(max(parts, key=lambda part: part[1]))
    return tuple(span for part, _ in parts for span in (part, ("   ", "")))[:-1]
