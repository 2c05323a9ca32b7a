"""What a file holds, and in what two differ, as paragraphs of a card. Pure: records in, words out."""

from __future__ import annotations

from workbench.protocol.artifacts import Inspection
from workbench.protocol.inspected import InspectedPair
from workbench.report import numbers
from workbench.report.sharing import shared
from workbench.report.tree import Branch, counted, group_words, tensor_tree

_WEIGHTS = "These are weights: name the class above, and this below as its weights."
_PROVEN = "It is proven against its model: open that, then press v."
OPENS = {
    "state_dict": _WEIGHTS,
    "safetensors": _WEIGHTS,
    "index": _WEIGHTS,
    "pickle": "Loading it would run its code. It can be converted, after a question: close this, ctrl+p, convert.",
    "capture": "enter opens it; as its source is code, you are asked first.",
    "bundle": "Close this, and v proves it again.",
    "torchscript": _PROVEN,
    "pt2": _PROVEN,
    "aoti": _PROVEN,
    "onnx": _PROVEN,
    "python": "enter lists its classes without running it.",
    "directory": "enter builds what its config.json names; as weights, name it below with its class.",
}
"""What to do with a file of each kind on the open screen."""

SHOWN = 200
"""Lines of the tree of tensors that a card has."""


def inspection_told(found: Inspection) -> list[tuple[str, str]]:
    """(style, words) of each paragraph."""
    told = [("strong gap", f"{found.kind} · {found.trust} · {numbers.size(found.bytes)}"), ("", "\n".join(found.words))]
    if found.metadata:
        facts = [f"  {name}: {text}" for name, text in list(found.metadata.items())[:12]]
        told += [("dim gap", "\n".join(facts))]
    owners = shared(found.tensors)
    tree = tensor_tree(found.tensors, owners)
    rows = [_row(one, owners) for one in tree[:SHOWN]]
    if rows:
        told += [
            ("strong gap", f"{counted(found.tensor_count)}, {numbers.size(found.tensor_bytes)}"),
            ("", "\n".join(rows)),
        ]
        if len(tree) > SHOWN:
            told.append(("dim", f"  … and {len(tree) - SHOWN} more lines"))
        if found.tensor_count > len(found.tensors):
            told.append(("dim", f"  of the first {len(found.tensors)} tensors"))
    if found.unsafe_globals:
        told += [("bad gap", "loading it would run"), ("", "\n".join(f"  {name}" for name in found.unsafe_globals))]
    if found.sha256:
        told.append(("dim gap", f"sha256 {found.sha256}"))
    return told


def _row(one: Branch, owners: dict[str, str]) -> str:
    """One line of the tree: a tensor with its shape and whose memory it lies in, or a group with what it holds."""
    label = "  " * (one.depth + 1) + one.label
    if one.tensor is None:
        return f"{label}  {group_words(one)}, {numbers.size(one.bytes)}"
    owner = owners.get(one.tensor.name)
    tie = f"  in the memory of {owner}" if owner else ""
    return f"{label}  {numbers.shape(one.tensor.dtype, one.tensor.shape)}{tie}"


def short_told(found: Inspection) -> list[tuple[str, str]]:
    """(style, words) of a line each: kind, trust, tensors and bytes; what to do with it; what it is."""
    tensors = f"{numbers.count(found.tensor_count)} tensor{'' if found.tensor_count == 1 else 's'}, "
    held = f"{tensors}{numbers.size(found.tensor_bytes)}" if found.tensor_count else numbers.size(found.bytes)
    lines = [("bold", f"{found.kind} · {found.trust} · {held}")]
    lines += [("", OPENS[found.kind])] if found.kind in OPENS else []
    return [*lines, *([("dim", found.words[0])] if found.words else [])]


def pair_told(pair: InspectedPair) -> list[tuple[str, str]]:
    """(style, words) of each paragraph."""
    sides = zip(pair.kinds, pair.trust, pair.tensors, pair.bytes, strict=True)
    told = [("", f"{kind} · {trust} · {counted(count)}, {numbers.size(held)}") for kind, trust, count, held in sides]
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
