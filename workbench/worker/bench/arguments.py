"""One argument of a call of forward: a spec to draw from, a value that was given, or a tree of both.

Owns `Argument`, how its parts are written as specs, and what a file or a function gave as arguments.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from workbench.protocol.captures import CALL
from workbench.protocol.failures import error
from workbench.protocol.model import FROM_FILE, FROM_SPEC
from workbench.protocol.spec import InputSpec, Plain, Step
from workbench.worker.bench.sampling import map_leaves, tensors_in
from workbench.worker.bench.words import shape_text, with_article

GIVEN = "given"
"""Origin of what was asked for with --input."""

_MOST_NAMED = 8
"""Parts of an argument that its `text` names."""
_MOST_PARTS = 100
"""Parts of an argument that are written one by one at all."""


@dataclass(frozen=True)
class Argument:
    """One argument of forward."""

    name: str
    """Empty for an argument that has no name (`*args`)."""
    spec: InputSpec | None
    """When the whole argument is one tensor that is drawn."""
    value: Any
    """Otherwise: tensors, specs of tensors to draw, and plain values, in lists, tuples and dicts."""
    origin: str
    keyword: bool = False
    """Passed by name."""
    source: str = FROM_SPEC
    """As `InputInfo.source`."""

    @property
    def text(self) -> str:
        """The specs that make it again, or a description where they would be many."""
        parts = self.parts
        if not parts or len(parts) > _MOST_NAMED:
            body = f"{type(self.value).__name__} of {len(tensors_in(self.value))} tensors"
            return f"{self.name}={body}" if self.name else body
        return " ".join(parts)

    @property
    def parts(self) -> tuple[str, ...]:
        """A spec for each of its leaves; none where there are more than `_MOST_PARTS`."""
        if self.spec is not None:
            return (self.spec.text,)
        leaves = _leaves(self.name or "_", self.value)
        texts = [_leaf_text(place, leaf) for place, leaf in leaves] if len(leaves) <= _MOST_PARTS else []
        return tuple(text if self.name else text.removeprefix("_=") for text in texts)

    @property
    def specs(self) -> tuple[tuple[str, InputSpec], ...]:
        """(path, spec) of every tensor that is drawn, with paths as `judge.leaves.flatten` writes them."""
        if self.spec is not None:
            return ((self.name, self.spec),)
        return tuple(_specs(self.name, self.value))

    @property
    def count(self) -> int:
        """How many tensors it holds."""
        return 1 if self.spec is not None else len(self.specs) + len(tensors_in(self.value))

    def mapped(self, function: Callable[[InputSpec], InputSpec]) -> Argument:
        """The same with `function` done to each spec."""
        if self.spec is not None:
            return dataclasses.replace(self, spec=function(self.spec))
        return dataclasses.replace(self, value=map_leaves(self.value, function, InputSpec))


def named(content: Any, origin: str, source: str = FROM_FILE) -> list[Argument]:
    """The arguments in what a file or a function gave: by name, by place, or one. Raises `WorkbenchError("inputs")`."""
    if isinstance(content, dict) and CALL in content:  # as a capture records it
        by_place = named(tuple(content.get("args", ())), origin, source)
        return by_place + named(dict(content.get("kwargs", {})), origin, source)
    if isinstance(content, dict):
        return [Argument(str(name), None, value, origin, source=source) for name, value in content.items()]
    if isinstance(content, (tuple, list)):
        return [Argument("", None, value, origin, source=source) for value in content]
    if isinstance(content, torch.Tensor):
        return named((content,), origin, source)
    message = f"The inputs {origin} are {with_article(type(content).__name__)}, not tensors."
    raise error("inputs", message, remedy="Give a dict of name → tensor, a tuple of tensors, or one tensor.")


def _leaves(place: str, value: Any) -> list[tuple[str, Any]]:
    """(place in the words of the spec language, leaf) of a tree."""
    if isinstance(value, dict) and value:
        return [one for key, part in value.items() for one in _leaves(place + Step("key", str(key)).text, part)]
    if isinstance(value, (list, tuple)) and any(_holds_tensors(part) for part in value):
        kind = "tuple" if isinstance(value, tuple) else "list"
        return [one for at, part in enumerate(value) for one in _leaves(place + Step(kind, at).text, part)]
    return [(place, value)]


def _holds_tensors(value: Any) -> bool:
    if isinstance(value, dict):
        return any(map(_holds_tensors, value.values()))
    if isinstance(value, (list, tuple)):
        return any(map(_holds_tensors, value))
    return isinstance(value, (torch.Tensor, InputSpec))


def _leaf_text(place: str, leaf: Any) -> str:
    if isinstance(leaf, InputSpec):
        return leaf.with_name(place).text
    if isinstance(leaf, torch.Tensor):
        return f"{place}={str(leaf.dtype)[6:]}{shape_text(leaf.shape)}"
    return Plain(place, leaf).text


def _specs(path: str, value: Any) -> list[tuple[str, InputSpec]]:
    if isinstance(value, InputSpec):
        return [(path, value)]
    if isinstance(value, dict):
        return [one for key, part in value.items() for one in _specs(f"{path}[{key!r}]", part)]
    if isinstance(value, (list, tuple)):
        return [one for at, part in enumerate(value) for one in _specs(f"{path}[{at}]", part)]
    return []
