"""A difference of two runs as lines: the verdict, then every output leaf with its numbers and pictures. Pure."""

from __future__ import annotations

import math

from workbench.protocol.runs import IDENTICAL, INCOMPARABLE, SIGNS, Diff, Divergence, LeafDiff
from workbench.report import numbers
from workbench.report.marks import LIMITS, mark_words, measured_in, multiple_words
from workbench.tui.draw.bars import histogram
from workbench.tui.draw.heat import heat_map
from workbench.tui.draw.spans import MARK_STYLES, Line, flow, packed, wrapped


def diff_lines(diff: Diff, divergence: Divergence | None, width: int, unicode: bool) -> list[Line]:
    """The whole of it; lines are at most `width` cells wide, but for names that are longer."""
    sign, style = SIGNS.get(diff.mark, "?"), MARK_STYLES.get(diff.mark, "warn")
    verdict: Line = ((f"{sign} {mark_words(diff.mark, diff.yardstick)}", style),)
    lines = packed([verdict, ((f"#{diff.run} against #{diff.against}", "strong"),)], width)
    lines += wrapped(_yardstick(diff), width, "dim")
    if diff.structure:
        lines += wrapped(f"structure differs: {diff.structure}", width, "bad", indent="  ")
    if divergence is not None and (divergence.run, divergence.against) == (diff.run, diff.against):
        lines += divergence_lines(divergence, width)
    for leaf in diff.leaves:
        lines.append(())
        lines += leaf_lines(leaf, width, unicode, diff.yardstick)
    return lines


def _yardstick(diff: Diff) -> str:
    limit = LIMITS.get(diff.yardstick, 1.0)
    worst = max((leaf.noise_multiple for leaf in diff.leaves), default=0.0)
    text = f"yardstick {diff.yardstick}: {multiple_words(worst, diff.yardstick)} (limit {limit:.0f}×)"
    return f"{text}; {diff.yardstick_reason}" if diff.yardstick_reason else text


def divergence_lines(divergence: Divergence, width: int) -> list[Line]:
    """Where two runs part, why, and what mends it."""
    lines: list[Line] = [()]
    if divergence.type:
        call = f", call {divergence.call + 1}" if divergence.call else ""
        module: Line = (("parts at ", ""), (divergence.module or "(root)", "warn"))
        lines += packed([module, ((f"{divergence.type}{call}", "dim"),), ((divergence.kind, ""),)], width)
    lines += wrapped(divergence.words, width)
    if divergence.where:
        lines.append((("at ", "dim"), (divergence.where, "")))
    if divergence.remedy:
        lines += wrapped(f"→ {divergence.remedy}", width, "good", indent="  ")
    for seen in divergence.evidence:
        lines += wrapped(f"· {seen}", width, "dim", indent="  ")
    others = [path for path in divergence.modules if path != divergence.module]
    if others:
        lines += wrapped("then " + ", ".join(path or "(root)" for path in others), width, "dim", indent="  ")
    return lines


def leaf_lines(leaf: LeafDiff, width: int, unicode: bool, yardstick: str) -> list[Line]:
    """One leaf: a single line when its bits are identical, its numbers, histogram and heat map otherwise."""
    style = MARK_STYLES.get(leaf.mark, "warn")
    name: Line = ((f"{SIGNS.get(leaf.mark, '?')} ", style), (leaf.path, "strong"))
    form: Line = ((numbers.shape(leaf.dtype, leaf.shape) if leaf.dtype else "", "accent"),)
    lines = packed([name, form, ((mark_words(leaf.mark, yardstick), style),)], width)
    if leaf.reason:
        lines += wrapped(leaf.reason, width, "warn", indent="  ")
    if leaf.mark in (IDENTICAL, INCOMPARABLE) and not leaf.mismatched:
        return lines
    lines += flow(_figures(leaf, yardstick), width)
    if leaf.worst_index or leaf.worst_a:
        index = f"[{','.join(map(str, leaf.worst_index))}]"
        lines.append((("worst ", "dim"), (index, "strong"), (f"  {leaf.worst_a} → {leaf.worst_b}", "")))
    bars = histogram(leaf.decades, width, unicode)
    if bars:
        lines += [(("|Δ| from", "dim"), ("  elements", "dim")), *bars]
    heat = heat_map(leaf.heat, leaf.heat_rows, leaf.heat_columns, width, unicode)
    if heat:
        lines += [((f"largest |Δ| of {leaf.heat_rows} rows × {leaf.heat_columns} columns", "dim"),), *heat]
    return lines


def _figures(leaf: LeafDiff, yardstick: str) -> list[tuple[str, str, str]]:
    """(label, value, style of the value)."""
    unit = measured_in(yardstick).removeprefix("the ")
    figures = [
        ("max|Δ|", numbers.measure(leaf.max_abs), "strong"),
        (unit, numbers.multiple(leaf.noise_multiple), MARK_STYLES.get(leaf.mark, "")),
        ("differ", numbers.share(leaf.mismatched, leaf.elements), ""),
        ("mean|Δ|", numbers.measure(leaf.mean_abs), ""),
        ("RMSE", numbers.measure(leaf.rmse), ""),
        ("max rel", numbers.measure(leaf.max_rel), ""),
        ("mean rel", numbers.measure(leaf.mean_rel), ""),
        ("ULP", _whole(leaf.max_ulp), ""),
        ("p99 ULP", _whole(leaf.p99_ulp), ""),
        ("allclose", "yes" if leaf.allclose else "no", ""),
        ("cosine", f"{leaf.cosine:.6f}", ""),
        ("SNR", "∞ dB" if math.isinf(leaf.snr_db) else f"{leaf.snr_db:.1f} dB", ""),
    ]
    for name, agreement in (("top-1", leaf.top1), ("top-5", leaf.top5)):
        if agreement >= 0:
            figures.append((name, f"{100 * agreement:.1f} %", "" if agreement == 1 else "warn"))
    for name, one, other in (("NaN", leaf.nan_a, leaf.nan_b), ("inf", leaf.inf_a, leaf.inf_b)):
        if one or other:
            figures.append((name, f"{one:,} → {other:,}", "" if one == other else "bad"))
    return figures


def _whole(number: int) -> str:
    return f"{number:,}" if number < 10_000_000 else f"{number:.1e}"
