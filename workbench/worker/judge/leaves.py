"""Owns the walk through a model's output: which tensors it holds, under which paths, in which tree.

Carried into a bundle's verify.py: standard library and torch only. It never looks at a value of a
tensor, never calls a method of foreign objects beyond iterating them, and never mutates anything.
"""

from __future__ import annotations

import dataclasses
import itertools
import zlib
from collections.abc import Mapping
from typing import Any

import torch

LEAF_DEPTH = 64
"""Nesting beyond this is opaque: no model answers that deep, a structure that refers to itself may."""

LEAF_NODES = 100_000
"""Nodes beyond this are opaque."""

_LEAF_TEXT = 200
"""Characters of a constant kept in the structure; a longer one keeps its checksum too."""


@dataclasses.dataclass(frozen=True)
class Flat:
    """An output taken apart."""

    structure: str
    """One line a node, path, tab, kind, in the order of the walk: "output['logits']\\ttensor". Constants (None,
    numbers, strings, booleans) are written out. Two outputs have the same tree when their sets of lines agree."""
    leaves: list[tuple[str, torch.Tensor]]
    """Every tensor with its path, in the order of the walk; also sparse, quantised and meta tensors."""
    opaque: tuple[tuple[str, str], ...] = ()
    """Path and reason of what cannot be looked into; compare never calls these equal."""


def flatten(output: Any, root: str = "output") -> Flat:
    """Take `output` apart: tensors, tuples, lists, named tuples, mappings, dataclasses, constants.

    Paths read like Python: `output`, `output[0]`, `output['logits']`, `output.hidden`. A tuple and a list are
    the same node, as are all mappings: an exported program may answer with the plain kind. Never raises.
    """
    walk = _LeafWalk()
    walk.visit(root, output, 0)
    return Flat("\n".join(walk.lines), walk.leaves, tuple(walk.opaque))


def structure_difference(a: str, b: str, limit: int = 3) -> str:
    """What differs between two `Flat.structure`, in words, at most `limit` places; empty when they agree."""
    nodes_a, nodes_b = _leaf_nodes(a), _leaf_nodes(b)
    places = []
    for path in [*nodes_a, *(path for path in nodes_b if path not in nodes_a)]:
        one, other = nodes_a.get(path), nodes_b.get(path)
        if one == other:
            continue
        if other is None:
            places.append(f"{path} ({one}) is missing")
        elif one is None:
            places.append(f"{path} ({other}) is new")
        else:
            places.append(f"{path} is {one} against {other}")
    more = f"; and {len(places) - limit} more" if len(places) > limit else ""
    return "; ".join(places[:limit]) + more


def _leaf_nodes(structure: str) -> dict[str, str]:
    nodes = {}
    for line in structure.split("\n"):
        path, _, kind = line.partition("\t")
        nodes[path] = kind
    return nodes


class _LeafWalk:
    """One walk in progress."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.leaves: list[tuple[str, torch.Tensor]] = []
        self.opaque: list[tuple[str, str]] = []
        self._above: set[int] = set()
        """Identities of the containers that the walk is inside of."""

    def visit(self, path: str, value: Any, depth: int) -> None:
        if isinstance(value, torch.Tensor):
            self.lines.append(f"{path}\ttensor")
            self.leaves.append((path, value))
            return
        if value is None or isinstance(value, (bool, int, float, complex, str, bytes)):
            self.lines.append(f"{path}\t{_leaf_constant(value)}")
            return
        try:
            children = _leaf_children(path, value) if id(value) not in self._above else None
        except Exception as problem:  # noqa: BLE001 (a foreign container runs its own code when it is iterated)
            self._hide(path, f"{type(value).__name__} cannot be read: {type(problem).__name__}")
            return
        if id(value) in self._above:
            self._hide(path, f"{type(value).__name__} contains itself")
        elif children is None:
            self._hide(path, f"{type(value).__name__} is no tensor, container or constant")
        elif depth >= LEAF_DEPTH:
            self._hide(path, f"nested deeper than {LEAF_DEPTH}")
        elif len(self.lines) + len(children) > LEAF_NODES:
            self._hide(path, f"more than {LEAF_NODES} parts")
        else:
            self.lines.append(f"{path}\t{_leaf_kind(value)} of {len(children)}")
            self._above.add(id(value))
            for child_path, child in children:
                self.visit(child_path, child, depth + 1)
            self._above.discard(id(value))

    def _hide(self, path: str, reason: str) -> None:
        self.lines.append(f"{path}\topaque, {reason}")
        self.opaque.append((path, reason))


def _leaf_kind(value: Any) -> str:
    if isinstance(value, Mapping):
        return "mapping"
    return "sequence" if isinstance(value, (tuple, list)) and not hasattr(value, "_fields") else "record"


def _leaf_children(path: str, value: Any) -> list[tuple[str, Any]] | None:
    """The parts of a container with their paths, at most `LEAF_NODES` + 1; None for what is no container."""
    if isinstance(value, Mapping):
        keys = enumerate(itertools.islice(value, LEAF_NODES + 1))
        return [(f"{path}[{_leaf_key(key, place)}]", value[key]) for place, key in keys]
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return [(f"{path}.{name}", part) for name, part in zip(value._fields, value)]  # noqa: B905
    if isinstance(value, (tuple, list)):
        return [(f"{path}[{place}]", value[place]) for place in range(min(len(value), LEAF_NODES + 1))]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return [(f"{path}.{field.name}", getattr(value, field.name)) for field in dataclasses.fields(value)]
    return None


def _leaf_key(key: Any, place: int) -> str:
    if isinstance(key, (str, int, float, bool, bytes)) or key is None:
        return _leaf_constant(key)
    return f"<{type(key).__name__} {place}>"  # the repr of a foreign key may hold an address, which differs each time


def _leaf_constant(value: Any) -> str:
    try:
        text = repr(value).replace("\t", " ").replace("\n", " ")  # of a subclass, perhaps; the separators are ours
    except Exception:  # noqa: BLE001 (an integer of more than 4,300 digits, or the repr of a foreign subclass)
        text = f"<{type(value).__name__}>"
    if len(text) <= _LEAF_TEXT:
        return text
    return f"{text[:_LEAF_TEXT]}… ({len(text)} characters, crc32 {zlib.crc32(text.encode('utf-8', 'replace')):08x})"
