"""What a file holds, and in what two differ, as printed text. No decisions, no numbers of its own."""

from __future__ import annotations

from rich.console import Console

from workbench.protocol.artifacts import Inspection
from workbench.protocol.inspected import InspectedPair
from workbench.protocol.text import clean_line
from workbench.report.numbers import size

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
        listed = plain_table("tensor", "dtype", "shape", "bytes")
        for tensor in found.tensors[:TENSORS_SHOWN]:
            listed.add_row(clean_line(tensor.name), tensor.dtype, str(list(tensor.shape)), size(tensor.bytes))
        out.print(listed)
        if found.tensor_count > TENSORS_SHOWN:
            out.print(f"… and {found.tensor_count - TENSORS_SHOWN} more")
        out.print(f"{found.tensor_count} tensors, {size(found.tensor_bytes)}")


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
    if pair.differing:
        listed = plain_table("other values", "elements", "max |Δ|", "RMS |Δ|", "")
        for one in pair.differing[:TENSORS_SHOWN]:
            odd = f"{one.nonfinite} not finite in one" if one.nonfinite else ""
            share = f"{one.differing} of {one.elements}"
            listed.add_row(clean_line(one.name), share, f"{one.max_abs:.3g}", f"{one.relative:.2g}", odd)
        out.print(listed)
        if len(pair.differing) > TENSORS_SHOWN:
            out.print(f"… and {len(pair.differing) - TENSORS_SHOWN} more")


def _lines(out: Console, title: str, lines: tuple[str, ...]) -> None:
    if lines:
        out.print(f"{title} ({len(lines)}):")
        for line in lines[:NAMES_SHOWN]:
            out.print(f"  {clean_line(line)}")
        if len(lines) > NAMES_SHOWN:
            out.print(f"  … and {len(lines) - NAMES_SHOWN} more; all of it is in the JSON")
