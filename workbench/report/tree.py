"""The tensors of a file as a tree of their names, with layers that are alike told once. Pure: records in, rows out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from workbench.protocol.artifacts import InspectedTensor

DEEPEST = 16
"""Levels that a name is taken apart into; what has more dots keeps the rest as one part."""


@dataclass(frozen=True)
class Branch:
    """One row of the tree."""

    depth: int
    """0 at the outside."""
    label: str
    """Part of the name, several where nothing parts between ("encoder.layers"), "0..11" for layers that are alike."""
    tensor: InspectedTensor | None
    """None: the row is of a group, and what it holds comes below it."""
    tensors: int
    """Tensors at and below the row, in all of the layers that it stands for."""
    bytes: int
    """Of those tensors, each as if it had memory of its own."""
    alike: int = 1
    """Layers that the row stands for; what comes below it is in each of them."""


@dataclass
class _Node:
    label: str
    children: dict[str, _Node] = field(default_factory=dict)
    own: list[InspectedTensor] = field(default_factory=list)
    tensors: int = 0
    bytes: int = 0
    form: int = 0
    """The same for nodes that hold the same under the same names."""


def tensor_tree(tensors: Iterable[InspectedTensor], owners: Mapping[str, str]) -> list[Branch]:
    """Rows from the outside inwards, in the order of the file; numbered layers in the order of their numbers.

    owners: name → the name in whose memory it lies, as `sharing.shared` has it.
    """
    root = _Node("")
    for tensor in tensors:
        node = root
        for part in tensor.name.split(".", DEEPEST):
            node = node.children.setdefault(part, _Node(part))
        node.own.append(tensor)
    _weigh(root, owners, {})
    rows: list[Branch] = []
    for group in _groups(root):
        _write(group, 0, rows)
    return rows


def _weigh(node: _Node, owners: Mapping[str, str], forms: dict[object, int]) -> None:
    """Sums from the leaves up, and the form of each node."""
    for child in node.children.values():
        _weigh(child, owners, forms)
    node.tensors = len(node.own) + sum(child.tensors for child in node.children.values())
    node.bytes = sum(one.bytes for one in node.own) + sum(child.bytes for child in node.children.values())
    own = tuple((one.dtype, one.shape, one.bytes, owners.get(one.name, "")) for one in node.own)
    below = tuple((child.label, child.form) for child in node.children.values())
    node.form = forms.setdefault((own, below), len(forms))


def _groups(node: _Node) -> list[list[_Node]]:
    """The children, in runs of numbered ones that follow each other and hold the same."""
    children = list(node.children.values())
    if len(children) > 1 and all(child.label.isdecimal() and child.label.isascii() for child in children):
        children.sort(key=lambda child: int(child.label) if len(child.label) < 10 else 1 << 40)
    groups: list[list[_Node]] = []
    for child in children:
        before = groups[-1][-1] if groups else None
        if before is not None and before.children and before.form == child.form and _next(before.label, child.label):
            groups[-1].append(child)
        else:
            groups.append([child])
    return groups


def _next(one: str, other: str) -> bool:
    """Whether both are numbers of at most nine digits, and `other` follows `one`."""
    plain = all(label.isdecimal() and label.isascii() and len(label) < 10 for label in (one, other))
    return plain and int(one) + 1 == int(other)


def _write(group: list[_Node], depth: int, rows: list[Branch]) -> None:
    """The rows of a group, and of what its first node holds."""
    node, count = group[0], len(group)
    label = node.label if count == 1 else f"{node.label}..{group[-1].label}"
    while count == 1 and len(node.children) == 1 and not node.own:
        (node,) = node.children.values()
        label += f".{node.label}"
    for tensor in node.own:
        rows.append(Branch(depth, label, tensor, 1, tensor.bytes))
    if node.children:
        below, size = (sum(one.tensors for one in group), sum(one.bytes for one in group)) if count > 1 else (
            node.tensors - len(node.own), node.bytes - sum(one.bytes for one in node.own)
        )  # fmt: skip
        rows.append(Branch(depth, label, None, below, size, count))
        for inner in _groups(node):
            _write(inner, depth + 1, rows)


def counted(tensors: int) -> str:
    """ "1 tensor", "148 tensors"."""
    return f"{tensors} tensor{'' if tensors == 1 else 's'}"


def group_words(one: Branch) -> str:
    """ "148 tensors", or "12 alike, 148 tensors", of a row without a tensor."""
    tensors = counted(one.tensors)
    return f"{one.alike} alike, {tensors}" if one.alike > 1 else tensors
