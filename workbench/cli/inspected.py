"""What a file holds, and in what two differ, as printed text. No decisions, no numbers of its own."""

from __future__ import annotations

from math import isnan

from rich.console import Console

from workbench.protocol.artifacts import Inspection
from workbench.protocol.inspected import InspectedPair, ValueDifference
from workbench.protocol.text import clean_line
from workbench.report.numbers import size
from workbench.report.sharing import shared

from .tables import plain_table

TENSORS_SHOWN = 200
"""Rows of `inspect`'s table; the rest is counted, and all of it is in the JSON."""


NAMES_SHOWN = 40
"""Names of each sort that a comparison of two files prints."""


def show_inspection(out: Console, found: Inspection) -> None:
    """What a file holds."""
    out.print(f"{clean_line(found.path)}  {found.kind} · {found.trust}  {size(found.bytes)}")
    if found.sha256:
        out.print(f"sha256:{found.sha256}", style="dim")
    for line in found.words:
        out.print(line)
    if found.unsafe_globals:
        out.print(f"would import: {clean_line(', '.join(found.unsafe_globals))}", style="bold red")
    for name, text in found.metadata.items():
        out.print(f"{clean_line(name)}: {clean_line(text)}", style="dim")
    if found.tensor_count:
        owners = shared(found.tensors)
        listed = plain_table("tensor", "dtype", "shape", "bytes", *(["shares memory with"] if owners else []))
        for tensor in found.tensors[:TENSORS_SHOWN]:
            row = [clean_line(tensor.name), tensor.dtype, str(list(tensor.shape)), size(tensor.bytes)]
            listed.add_row(*row, *([clean_line(owners.get(tensor.name, ""))] if owners else []))
        out.print(listed)
        if found.tensor_count > TENSORS_SHOWN:
            out.print(f"… and {found.tensor_count - TENSORS_SHOWN} more")
        tied = f"; {len(owners)} of them in the memory of others" if owners else ""
        out.print(f"{found.tensor_count} tensors, {size(found.tensor_bytes)}{tied}")


def show_pair(out: Console, pair: InspectedPair) -> None:
    """In what two files differ."""
    sides = zip((pair.path, pair.other), pair.kinds, pair.trust, pair.tensors, pair.bytes, strict=True)
    for path, kind, trust, tensors, held in sides:
        out.print(f"{clean_line(path)}  {kind} · {trust}  {tensors} tensors, {size(held)}")
    for line in pair.words:
        out.print(clean_line(line), style="bold")
    for title, lines in (
        ("in the first file only", pair.first),
        ("in the second file only", pair.second),
        ("of another shape", pair.shapes),
        ("of another dtype", pair.dtypes),
        ("sharing", pair.ties),
    ):
        _lines(out, title, lines)
    _lines(out, "values not compared", pair.uncompared)
    if pair.differing:
        listed = plain_table("other values", "elements", "max |Δ|", "RMS |Δ|", "")
        for one in pair.differing[:TENSORS_SHOWN]:
            odd = f"{one.nonfinite} not finite in one" if one.nonfinite else ""
            share = f"{one.differing} of {one.elements}"
            far = ["–" if isnan(value) else text for value, text in _measures(one)]
            listed.add_row(clean_line(one.name), share, *far, odd)
        out.print(listed)
        if len(pair.differing) > TENSORS_SHOWN:
            out.print(f"… and {len(pair.differing) - TENSORS_SHOWN} more")


def _measures(one: ValueDifference) -> tuple[tuple[float, str], ...]:
    return (one.max_abs, f"{one.max_abs:.3g}"), (one.relative, f"{one.relative:.2g}")


def _lines(out: Console, title: str, lines: tuple[str, ...]) -> None:
    if lines:
        out.print(f"{title} ({len(lines)}):")
        for line in lines[:NAMES_SHOWN]:
            out.print(f"  {clean_line(line)}")
        if len(lines) > NAMES_SHOWN:
            out.print(f"  … and {len(lines) - NAMES_SHOWN} more; all of it is in the JSON")
