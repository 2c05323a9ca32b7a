"""What a file holds, and in what two differ, as paragraphs of a card. Pure: records in, words out."""

from __future__ import annotations

from workbench.protocol.artifacts import Inspection
from workbench.protocol.inspected import InspectedPair
from workbench.report import numbers

SHOWN = 200
"""Tensors that a card lists."""


def inspection_told(found: Inspection) -> list[tuple[str, str]]:
    """(style, words) of each paragraph."""
    told = [("strong gap", f"{found.kind} · {found.trust} · {numbers.size(found.bytes)}"), ("", "\n".join(found.words))]
    if found.metadata:
        facts = [f"  {name}: {text}" for name, text in list(found.metadata.items())[:12]]
        told += [("dim gap", "\n".join(facts))]
    rows = [f"  {one.name}  {numbers.shape(one.dtype, one.shape)}" for one in found.tensors[:SHOWN]]
    if rows:
        tensors = "1 tensor" if found.tensor_count == 1 else f"{found.tensor_count} tensors"
        told += [("strong gap", f"{tensors}, {numbers.size(found.tensor_bytes)}"), ("", "\n".join(rows))]
        if found.tensor_count > SHOWN:
            told.append(("dim", f"  … and {found.tensor_count - SHOWN} more"))
    if found.unsafe_globals:
        told += [("bad gap", "loading it would run"), ("", "\n".join(f"  {name}" for name in found.unsafe_globals))]
    if found.sha256:
        told.append(("dim gap", f"sha256 {found.sha256}"))
    return told


def pair_told(pair: InspectedPair) -> list[tuple[str, str]]:
    """(style, words) of each paragraph."""
    sides = zip(pair.kinds, pair.trust, pair.tensors, pair.bytes, strict=True)
    told = [("", f"{kind} · {trust} · {count} tensors, {numbers.size(held)}") for kind, trust, count, held in sides]
    told += [("strong gap", "\n".join(pair.words))]
    for title, lines in (
        ("in the first file only", pair.first),
        ("in the second file only", pair.second),
        ("of another shape", pair.shapes),
        ("of another dtype", pair.dtypes),
        ("sharing", pair.ties),
    ):
        if lines:
            more = [f"  … and {len(lines) - SHOWN} more"] if len(lines) > SHOWN else []
            told += [("gap", f"{title} ({len(lines)})"), ("", "\n".join([f"  {one}" for one in lines[:SHOWN]] + more))]
    values = "for their values: workbench inspect A B --values"
    return [*told, ("dim gap", values)]
