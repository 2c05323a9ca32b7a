"""One argument of a call of forward: a spec to draw from, a value that was given, or a tree of both.

Owns `Argument`, and how specs of places (`batch.x`, `xs[0]`) grow into the argument that they are parts of.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch

from workbench.protocol.captures import CALL
from workbench.protocol.failures import WorkbenchError, error
from workbench.protocol.spec import InputSpec, Plain, Step, steps_of
from workbench.protocol.spec_reader import parse
from workbench.worker.bench.sampling import map_leaves, tensors_in
from workbench.worker.bench.words import shape_text, with_article

GIVEN = "given"
"""Origin of what was asked for with --input."""


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

    @property
    def text(self) -> str:
        """The specs that make it again, or a description where none can."""
        if self.spec is not None:
            return self.spec.text
        parts = [_leaf_text(place, leaf) for place, leaf in _leaves(self.name or "_", self.value)]
        if not parts or len(parts) > 8:
            body = f"{type(self.value).__name__} of {len(tensors_in(self.value))} tensors"
            return f"{self.name}={body}" if self.name else body
        return " ".join(part if self.name else part.removeprefix("_=") for part in parts)

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


def from_specs(texts: Iterable[str]) -> list[Argument]:
    """The arguments that specs describe, in the order of their first mention. Raises `WorkbenchError("inputs")`."""
    arguments: list[Argument] = []
    parts: dict[str, list[tuple[tuple[Step, ...], InputSpec | Plain]]] = {}
    for text in texts:
        leaf = parse(text)
        name, steps = steps_of(leaf.name)
        if not steps:
            if name and name in parts:
                raise _both(name)
            spec, value = (leaf, None) if isinstance(leaf, InputSpec) else (None, leaf.value)
            arguments.append(Argument(name, spec, value, GIVEN))
            continue
        if name not in parts:
            if any(one.name == name for one in arguments):
                raise _both(name)
            arguments.append(Argument(name, None, None, GIVEN))
        parts.setdefault(name, []).append((steps, leaf))
    return [
        dataclasses.replace(one, value=_grown(one.name, parts[one.name])) if one.name in parts else one
        for one in arguments
    ]


def named(content: Any, origin: str) -> list[Argument]:
    """The arguments in what a file or a function gave: by name, by place, or one. Raises `WorkbenchError("inputs")`."""
    if isinstance(content, dict) and CALL in content:  # as a capture records it
        by_place = [Argument("", None, value, origin) for value in content.get("args", ())]
        return by_place + named(dict(content.get("kwargs", {})), origin)
    if isinstance(content, dict):
        return [Argument(str(name), None, value, origin) for name, value in content.items()]
    if isinstance(content, (tuple, list)):
        return [Argument("", None, value, origin) for value in content]
    if isinstance(content, torch.Tensor):
        return [Argument("", None, content, origin)]
    message = f"The inputs {origin} are {with_article(type(content).__name__)}, not tensors."
    raise error("inputs", message, remedy="Give a dict of name → tensor, a tuple of tensors, or one tensor.")


def _grown(place: str, parts: list[tuple[tuple[Step, ...], InputSpec | Plain]]) -> Any:
    """The value at `place` from its parts. Raises `WorkbenchError("inputs")` where they contradict each other."""
    ends = [leaf for steps, leaf in parts if not steps]
    if ends:
        if len(parts) > 1:
            raise _both(place)
        return ends[0].value if isinstance(ends[0], Plain) else ends[0]
    kinds = {steps[0].kind for steps, _ in parts}
    if len(kinds) > 1:
        message = f"{place} cannot be a {' and a '.join(sorted(kinds))} at once."
        raise error("inputs", message.replace("a key", "a dict"), "--input", "Use .key, [0] or .0 throughout.")
    below: dict[Any, list[tuple[tuple[Step, ...], InputSpec | Plain]]] = {}
    for steps, leaf in parts:
        below.setdefault(steps[0], []).append((steps[1:], leaf))
    grown = {step.key: _grown(f"{place}{step.text}", inner) for step, inner in below.items()}
    kind = kinds.pop()
    if kind == "key":
        return grown
    missing = next((number for number in range(len(grown)) if number not in grown), None)
    if missing is not None:
        lacking = f"{place}{Step(kind, missing).text}"
        raise error("inputs", f"{lacking} is missing.", "--input", f"Give it: --input '{lacking}=float32[4,…]'")
    values = [grown[number] for number in range(len(grown))]
    return tuple(values) if kind == "tuple" else values


def _both(place: str) -> WorkbenchError:
    return error("inputs", f"{place} is given whole and in parts.", "--input", "Leave one of the two out.")


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
