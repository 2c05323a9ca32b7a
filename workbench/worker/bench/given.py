"""What --input gives: whole arguments, and parts of arguments that something else may give the rest of.

Owns how specs of places (`batch.x`, `xs[0]`) grow into the argument that they are parts of, and how they are laid over
what a file or the model's own `example_inputs()` gave.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Any

from workbench.protocol.failures import WorkbenchError, error
from workbench.protocol.spec import InputSpec, Plain, Step, steps_of
from workbench.protocol.spec_reader import parse
from workbench.worker.bench.arguments import GIVEN, Argument
from workbench.worker.bench.words import with_article

Part = tuple[tuple[Step, ...], "InputSpec | Plain"]
"""(the way into an argument, what is there)."""


@dataclasses.dataclass(frozen=True)
class Given:
    """The arguments that specs describe, in the order of their first mention."""

    arguments: tuple[Argument, ...]
    """Those that are given in parts have no value yet."""
    parts: dict[str, list[Part]]
    """By argument."""

    @classmethod
    def read(cls, texts: Iterable[str]) -> Given:
        """Raises `WorkbenchError("inputs")`."""
        arguments: list[Argument] = []
        parts: dict[str, list[Part]] = {}
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
        return cls(tuple(arguments), parts)

    @property
    def alone(self) -> list[Argument]:
        """The arguments, with nothing but what specs say. Raises `WorkbenchError("inputs")` for one with gaps."""
        return [self._grown(one) for one in self.arguments]

    def over(self, others: list[Argument]) -> list[Argument]:
        """The arguments, and those of `others` that no spec names; one that is given in parts has its rest from there.

        Raises `WorkbenchError("inputs")` for a part of what has no such part.
        """
        by_name = {one.name: one for one in others if one.name}
        said = {one.name for one in self.arguments}
        found = [
            self._laid(one, by_name[one.name]) if one.name in self.parts and one.name in by_name else self._grown(one)
            for one in self.arguments
        ]
        return found + [one for one in others if not one.name or one.name not in said]

    def _grown(self, one: Argument) -> Argument:
        if one.name not in self.parts:
            return one
        return dataclasses.replace(one, value=_grown(one.name, self.parts[one.name]))

    def _laid(self, one: Argument, other: Argument) -> Argument:
        value = other.value
        for steps, leaf in self.parts[one.name]:
            value = _put(one.name, value, steps, leaf)
        origin = f"{GIVEN} in part, the rest {other.origin}"
        return dataclasses.replace(one, value=value, origin=origin, source=other.source)


def from_specs(texts: Iterable[str]) -> list[Argument]:
    """The arguments that specs alone describe. Raises `WorkbenchError("inputs")`."""
    return Given.read(texts).alone


def _put(place: str, value: Any, steps: tuple[Step, ...], leaf: InputSpec | Plain) -> Any:
    """`value` with `leaf` at the end of the way; raises `WorkbenchError("inputs")` where there is no such way."""
    if not steps:
        return leaf.value if isinstance(leaf, Plain) else leaf
    step, rest = steps[0], steps[1:]
    below = place + step.text
    if step.kind == "key" and isinstance(value, dict):
        key = next((one for one in value if str(one) == step.key), step.key)
        if key in value or not rest:
            return {**value, key: _put(below, value.get(key), rest, leaf)}
    elif isinstance(step.key, int) and isinstance(value, (list, tuple)):
        items = list(value)
        if step.key < len(items):
            items[step.key] = _put(below, items[step.key], rest, leaf)
            return type(value)(*items) if hasattr(value, "_fields") else type(value)(items)
    what = f"There is no {below}: {place} is {with_article(type(value).__name__)}"
    size = f" of {len(value)}" if isinstance(value, (list, tuple, dict)) else ""
    raise error("inputs", f"{what}{size}.", "--input", f"Give one of its own parts, or all of {place}.")


def _grown(place: str, parts: list[Part]) -> Any:
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
    below: dict[Any, list[Part]] = {}
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
