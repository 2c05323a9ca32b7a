"""What a file holds, and in what two differ, as printed text. No decisions, no numbers of its own."""

from __future__ import annotations

from math import isnan

from rich.console import Console

from workbench.protocol.artifacts import Inspection
from workbench.protocol.inspected import InspectedPair, ValueDifference
from workbench.protocol.text import clean_line
from workbench.report.numbers import size
from workbench.report.sharing import shared
from workbench.report.tree import counted, group_words, tensor_tree

from .tables import plain_table

TENSORS_SHOWN = 200
"""Rows of `inspect`'s table; the rest is counted, and all of it is in the JSON."""


NAMES_SHOWN = 40
"""Names of each sort that a comparison of two files prints."""


def show_inspection(out: Console, found: Inspection, flat: bool = False) -> None:
    """What a file holds; its tensors as a tree, or with `flat` a line each under their whole names."""
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
        rows = _flat(found, owners) if flat else _tree(found, owners)
        for row in rows[:TENSORS_SHOWN]:
            listed.add_row(*(row if owners else row[:-1]))
        out.print(listed)
        left = found.tensor_count - TENSORS_SHOWN if flat else len(rows) - TENSORS_SHOWN
        if left > 0:
            out.print(f"… and {left} more {'tensors' if flat else 'lines'}; all of it is in the JSON")
        if not flat and found.tensor_count > len(found.tensors):
            out.print(f"The tree has the first {len(found.tensors)} tensors.")
        tied = f"; {len(owners)} of them in the memory of others" if owners else ""
        out.print(f"{counted(found.tensor_count)}, {size(found.tensor_bytes)}{tied}")


def _flat(found: Inspection, owners: dict[str, str]) -> list[tuple[str, ...]]:
    """Name, dtype, shape, bytes, and whose memory it lies in, of each tensor."""
    return [
        (clean_line(one.name), one.dtype, str(list(one.shape)), size(one.bytes), clean_line(owners.get(one.name, "")))
        for one in found.tensors[:TENSORS_SHOWN]
    ]


def _tree(found: Inspection, owners: dict[str, str]) -> list[tuple[str, ...]]:
    """The same with the names as a tree, and what a group holds in all."""
    rows: list[tuple[str, ...]] = []
    for one in tensor_tree(found.tensors, owners):
        label = "  " * one.depth + clean_line(one.label)
        if one.tensor is not None:
            owner = clean_line(owners.get(one.tensor.name, ""))
            rows.append((label, one.tensor.dtype, str(list(one.tensor.shape)), size(one.bytes), owner))
        else:
            rows.append((label, "", group_words(one), size(one.bytes), ""))
    return rows


def show_pair(out: Console, pair: InspectedPair) -> None:
    """In what two files differ."""
    sides = zip((pair.path, pair.other), pair.kinds, pair.trust, pair.tensors, pair.bytes, strict=True)
    for path, kind, trust, tensors, held in sides:
        out.print(f"{clean_line(path)}  {kind} · {trust}  {counted(tensors)}, {size(held)}")
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
