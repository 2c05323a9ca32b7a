"""What a pickle is made of when it is looked at and not loaded: inert records, and the two ways it can be broken."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple


class BrokenPickle(ValueError):
    """The bytes are no whole pickle."""


class TruncatedPickle(BrokenPickle):
    """The bytes end before the pickle does."""


class Global(NamedTuple):
    """A name that loading would import."""

    module: str
    name: str

    def __str__(self) -> str:
        return f"{self.module}.{self.name}"


class Persistent(NamedTuple):
    """A reference to something outside the pickle: torch's storages."""

    id: Any


@dataclass(eq=False, slots=True)
class Call:
    """What loading would make by calling `function`."""

    function: Any
    args: Any = ()
    state: Any = None
    pairs: Sequence[tuple[Any, Any]] = ()
    items: Sequence[Any] = ()


@dataclass(eq=False, slots=True)
class Mapping:
    """A dict; its keys need not be hashable here."""

    pairs: Sequence[tuple[Any, Any]] = ()
