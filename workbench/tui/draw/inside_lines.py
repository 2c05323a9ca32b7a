"""One module looked into, as lines: what went through it, what it holds, its source. Pure."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence

from workbench.protocol.inside import Inside, ModuleCall, SourcePart, TensorStats
from workbench.report import numbers
from workbench.tui.draw.spans import Line, flow, packed, wrapped

BLOCKS = " ▁▂▃▄▅▆▇█"
SHADES = " .:-=+*#%@"
"""The same steps without Unicode."""


def facts_lines(inside: Inside, call: int, width: int, unicode: bool) -> list[Line]:
    """The numbers of one call (from 0), then parameters and buffers, then hooks."""
    lines = [*_head(inside, width), ()]
    lines += _call_lines(inside, call, width, unicode)
    lines += [(), (("holds", "strong"),)]
    for held in inside.held:
        lines += tensor_lines(held.stats, width, unicode, held.kind)
    if inside.held_left_out:
        lines.append(((f"and {inside.held_left_out} more", "dim"),))
    if not inside.held:
        lines.append((("no parameters or buffers of its own", "dim"),))
    if inside.hooks:
        lines += [(), (("hooks", "strong"),)]
        for hook in inside.hooks:
            lines += wrapped(hook, width, indent="  ")
    return lines


def _head(inside: Inside, width: int) -> list[Line]:
    kind = inside.type.rpartition(".")[2]
    lines = packed(
        [((inside.path or "(root)", "strong"),), ((kind, "accent"),), (("train" if inside.training else "eval", ""),)],
        width,
    )
    lines += wrapped(inside.details, width, "dim", indent="  ") if inside.details else []
    return [*lines, ((inside.type, "dim"),)]


def _call_lines(inside: Inside, number: int, width: int, unicode: bool) -> list[Line]:
    lines: list[Line] = []
    if inside.calls:
        call = inside.calls[number]
        whole = len(inside.calls) + inside.calls_left_out
        run = f"run #{inside.run} replayed" if inside.run else "one forward"
        lines += packed([((run, "strong"),), ((f"call {number + 1} of {whole}", ""),)], width)
        if call.site:
            lines += wrapped(f"called at {_short(call.site)}", width, "dim", indent="  ")
        lines += wrapped(inside.note, width, "warn", indent="  ") if inside.note else []
        lines += _values(call, width, unicode)
    elif inside.note:
        lines += wrapped(inside.note, width, "warn", indent="  ")
    else:
        lines += wrapped(f"It was not called in run #{inside.run}.", width, "warn")
    return lines


def _values(call: ModuleCall, width: int, unicode: bool) -> list[Line]:
    lines: list[Line] = [(("in", "strong"),)]
    for stats in call.inputs:
        lines += tensor_lines(stats, width, unicode)
    if not call.inputs:
        lines.append((("no tensor went in", "dim"),))
    lines.append((("out", "strong"),))
    for stats in call.outputs:
        lines += tensor_lines(stats, width, unicode)
    if not call.returned:
        lines.append((("it did not return", "bad"),))
    elif not call.outputs:
        lines.append((("no tensor came out", "dim"),))
    for other in call.others:
        lines += wrapped(other, width, "dim", indent="  ")
    return lines


def tensor_lines(stats: TensorStats, width: int, unicode: bool, kind: str = "") -> list[Line]:
    """One tensor: name and shape, moments, how its values are spread."""
    about = [kind] if kind not in ("", "parameter") else []
    about += [stats.device] if stats.device not in ("", "cpu") else []
    about += ["requires grad" if kind != "parameter" else ""] if stats.requires_grad else []
    about += ["frozen"] if kind == "parameter" and not stats.requires_grad else []
    name: Line = (("  ", ""), (stats.path, "strong"))
    form: Line = ((numbers.shape(stats.dtype, stats.shape), "accent"),)
    lines = packed([name, form, *(((word, "dim"),) for word in about if word)], width)
    if stats.note:
        lines += wrapped("    " + stats.note, width, "warn", indent="    ")
    if not math.isnan(stats.mean):
        lines += [((" " * 4, ""), *line) for line in flow(_figures(stats, kind), width - 4)]
        spread = sparkline(stats.histogram, unicode)
        low, high = numbers.measure(stats.minimum), numbers.measure(stats.maximum)
        if stats.minimum != stats.maximum:
            lines.append((("    ", ""), (f"{low} ", "dim"), (spread, "accent"), (f" {high}", "dim")))
        elif stats.elements > 1:
            lines.append(((f"    every finite element is {low}", "dim"),))
    elif not stats.note:
        lines += [((" " * 4, ""), *line) for line in flow(_broken(stats), width - 4)]
        if not stats.elements:
            lines.append((("    no elements", "dim"),))
    return lines


def _figures(stats: TensorStats, kind: str) -> list[tuple[str, str, str]]:
    figures = [("mean", numbers.measure(stats.mean), ""), ("std", numbers.measure(stats.std), "")]
    if kind:
        figures.append(("rms", numbers.measure(stats.rms), ""))
    figures += [("min", numbers.measure(stats.minimum), ""), ("max", numbers.measure(stats.maximum), "")]
    if stats.zeros:
        figures.append(("zeros", numbers.share(stats.zeros, stats.elements), "warn" if _dead(stats) else ""))
    return figures + _broken(stats)


def _dead(stats: TensorStats) -> bool:
    return stats.zeros == stats.elements and stats.elements > 1


def _broken(stats: TensorStats) -> list[tuple[str, str, str]]:
    found = (("NaN", stats.nan), ("inf", stats.inf))
    return [(name, numbers.share(count, stats.elements), "bad") for name, count in found if count]


def sparkline(histogram: Sequence[int], unicode: bool) -> str:
    """One character a bin, as high as its share of the fullest; a bin that holds anything is never blank."""
    steps = BLOCKS if unicode else SHADES
    largest = max(histogram, default=0)
    if not largest:
        return ""
    top = len(steps) - 1
    return "".join(steps[max(1, round(count / largest * top))] if count else " " for count in histogram)


def source_lines(inside: Inside, width: int) -> tuple[list[Line], list[int]]:
    """Every part with line numbers, and where in these lines each part begins."""
    lines: list[Line] = []
    starts: list[int] = []
    if inside.source_note:
        lines += wrapped(inside.source_note, width, "warn")
    for part in inside.source:
        if lines:
            lines.append(())
        starts.append(len(lines))
        lines += _part(part, width)
    return lines, starts


def _part(part: SourcePart, width: int) -> list[Line]:
    place = f"{_short(part.file)}:{part.first}" if part.file else ""
    lines = packed([((part.title, "strong"),), ((place, "dim"),)], width)
    size = len(str(part.first + len(part.lines)))
    lines += [((f"{part.first + at:{size}}  ", "dim"), (text, "")) for at, text in enumerate(part.lines)]
    if part.left_out:
        lines.append(((f"… {part.left_out:,} more lines", "dim"),))
    return lines


def _short(place: str) -> str:
    """A path's last two parts."""
    return os.path.join(*place.split(os.sep)[-2:]) if os.sep in place else place
