"""Owns the walk through a model's output: which tensors and numbers it holds, under which paths, in which tree.

Carried into a bundle's verify.py: standard library and torch only. It never looks at a value of a
tensor, never calls a method of foreign objects beyond iterating containers, and never mutates anything.
"""

from __future__ import annotations

import contextlib
import dataclasses
import enum
import itertools
import types
import zlib
from collections.abc import Mapping
from typing import Any

import torch

LEAF_DEPTH = 64
"""Nesting beyond this is opaque: no model answers that deep, a structure that refers to itself may."""

LEAF_NODES = 100_000
"""Nodes beyond this are opaque."""

LEAF_OBJECTS = 16
"""Objects within each other that are looked into."""

_LEAF_TEXT = 200
"""Characters of a constant kept in the structure; a longer one keeps its checksum too."""


@dataclasses.dataclass(frozen=True)
class Flat:
    """An output taken apart."""

    structure: str
    """One line a node, path, tab, kind, in the order of the walk: "output['logits']\\ttensor". Constants (None,
    whole numbers, strings, booleans, classes) are written out; a floating or complex number of Python's is a
    "number". Two outputs have the same tree when their sets of lines agree."""
    leaves: list[tuple[str, torch.Tensor]]
    """Every tensor with its path, in the order of the walk; also sparse, quantised and meta tensors. A number of
    Python's is one without dimensions, float64 or complex128."""
    opaque: tuple[tuple[str, str], ...] = ()
    """Path and reason of what cannot be looked into; compare never calls these equal."""

    @property
    def numbers(self) -> frozenset[str]:
        """Paths of the leaves that are numbers of Python's."""
        if "\tnumber" not in self.structure:
            return frozenset()
        return frozenset(path for path, kind in _leaf_nodes(self.structure).items() if kind == "number")

    @property
    def tensors(self) -> list[tuple[str, torch.Tensor]]:
        """The leaves that the model made as tensors."""
        numbers = self.numbers
        return [(path, leaf) for path, leaf in self.leaves if path not in numbers]

    @property
    def number_dtype(self) -> torch.dtype:
        """In what the numbers of Python's were probably computed: the coarsest floating dtype of the tensors beside
        them, float32 where there is none."""
        found = {leaf.dtype for _, leaf in self.tensors if leaf.dtype.is_floating_point}
        return max(found, key=lambda dtype: torch.finfo(dtype).eps, default=torch.float32)


def flatten(output: Any, root: str = "output") -> Flat:
    """Take `output` apart: tensors, numbers, tuples, lists, named tuples, mappings, dataclasses, objects, constants.

    Paths read like Python: `output`, `output[0]`, `output['logits']`, `output.cache.layers[0].keys`. A tuple and a
    list are the same node, as are all mappings: an exported program may answer with the plain kind. Of a plain object
    its attributes are followed, and no property is called. Never raises.
    """
    return _leaf_flat(output, root, True)


def flatten_plain(output: Any, root: str = "output") -> Flat:
    """`flatten` as an artifact's arguments and answers are: numbers are constants, and objects are opaque."""
    return _leaf_flat(output, root, False)


def _leaf_flat(output: Any, root: str, within: bool) -> Flat:
    walk = _LeafWalk(within)
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

    def __init__(self, within: bool) -> None:
        self._within = within
        self._objects = 0
        """Objects that the walk is inside of."""
        self.lines: list[str] = []
        self.leaves: list[tuple[str, torch.Tensor]] = []
        self.opaque: list[tuple[str, str]] = []
        self._above: dict[int, str] = {}
        """Identities of the containers and objects that the walk is inside of, and their paths."""

    def visit(self, path: str, value: Any, depth: int) -> None:
        if isinstance(value, torch.Tensor):
            self.lines.append(f"{path}\ttensor")
            self.leaves.append((path, value))
            return
        if self._within and isinstance(value, (float, complex)):
            self.lines.append(f"{path}\tnumber")
            dtype = torch.float64 if isinstance(value, float) else torch.complex128
            self.leaves.append((path, torch.tensor(value, dtype=dtype, device="cpu")))
            return
        if value is None or isinstance(value, (bool, int, float, complex, str, bytes)):
            self.lines.append(f"{path}\t{_leaf_constant(value)}")
            return
        container, children = True, None
        try:
            if id(value) not in self._above:
                children = _leaf_children(path, value)
                if children is None and self._within:
                    if word := _leaf_word(value):
                        self.lines.append(f"{path}\t{word}")
                        return
                    container, children = False, _leaf_attributes(path, value)
            elif self._within and not isinstance(value, (Mapping, tuple, list)):  # as a part knows its whole
                self.lines.append(f"{path}\tback to {self._above[id(value)]}")
                return
        except Exception as problem:  # noqa: BLE001 (a foreign container runs its own code when it is iterated)
            self._hide(path, f"{type(value).__name__} cannot be read: {type(problem).__name__}")
            return
        if id(value) in self._above:
            self._hide(path, f"{type(value).__name__} contains itself")
        elif children is None:
            self._hide(path, f"{type(value).__name__} is no tensor, container or constant")
        elif depth >= LEAF_DEPTH or (not container and self._objects >= LEAF_OBJECTS):
            self._hide(path, f"nested deeper than {LEAF_DEPTH}")
        elif len(self.lines) + len(children) > LEAF_NODES:
            self._hide(path, f"more than {LEAF_NODES} parts")
        else:
            self.lines.append(f"{path}\t{_leaf_kind(value)} of {len(children)}")
            self._above[id(value)] = path
            self._objects += not container
            for child_path, child in children:
                self.visit(child_path, child, depth + 1)
            self._objects -= not container
            del self._above[id(value)]

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


def _leaf_attributes(path: str, value: Any) -> list[tuple[str, Any]] | None:
    """The attributes of a plain object, by name; None for one without any, and for modules, whose weights are no
    answer. What runs in C (an iterator, a lock) shows nothing of itself here."""
    if isinstance(value, (torch.nn.Module, types.ModuleType)):
        return None
    held: dict[str, Any] = {}
    for kind in type(value).__mro__:
        if "__slots__" in vars(kind):
            slots = [(name, one) for name, one in vars(kind).items() if isinstance(one, types.MemberDescriptorType)]
            held |= {name: one.__get__(value) for name, one in slots if hasattr(value, name)}
    with contextlib.suppress(AttributeError):
        held |= object.__getattribute__(value, "__dict__")
    return [(f"{path}.{name}", held[name]) for name in sorted(held, key=str)] or None


def _leaf_word(value: Any) -> str:
    """A constant by its name: classes, functions, dtypes, members of an enum; empty for everything else."""
    if isinstance(value, (type, types.FunctionType, types.BuiltinFunctionType, types.MethodType)):
        return f"{value.__module__}.{value.__qualname__}"
    if isinstance(value, (torch.device, torch.dtype)):
        return type(value).__name__  # which one, the tensors say; a model may answer from another place or width
    if isinstance(value, enum.Enum):
        return f"{type(value).__name__}.{value.name}"
    return repr(value) if isinstance(value, _LEAF_WORDS) else ""


_LEAF_WORDS = (torch.layout, torch.memory_format, range, slice, type(...))


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
