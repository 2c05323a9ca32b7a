"""The text of `captured.py` while it grows: imports, definitions in their order, and names of what is there.

Owns the layout of that file. What goes into it is the slice's business.
"""

from __future__ import annotations

from typing import Any

from workbench.protocol.captures import LEFT_OUT

from .helpers import HELPERS


class Pages:
    """Grows from the top; what a definition needs stands before it."""

    def __init__(self) -> None:
        self.left_out: dict[str, str] = {}
        """Name → what it is that could not be taken along."""
        self._imports: dict[str, None] = {}
        self._definitions: dict[str, str] = {}
        """Top-level name → its text, dependencies first."""
        self._made: dict[int, str] = {}
        """id → expression of a class, function or kept value."""
        self._alive: list[Any] = []
        """Keeps what has an id there."""
        self._postponed = False

    @property
    def text(self) -> str:
        """The source of `captured.py` without its factory."""
        future = "from __future__ import annotations\n\n" if self._postponed else ""
        missing = f"\n{LEFT_OUT} = {self.left_out!r}\n" if self.left_out else ""
        definitions = "\n\n".join(self._definitions.values())
        return future + "\n".join(self._imports) + f"\n{missing}\n\n{definitions}"

    def imports(self, line: str) -> None:
        self._imports[line] = None

    def give(self, thing: Any, text: str) -> str:
        """The name of what an expression makes."""
        name = self._new("value", id(thing), thing)
        self._definitions[name] = f"{name} = {text}\n"
        return name

    def helper(self, name: str) -> str:
        """The name of a function of `HELPERS`, which is there from now on."""
        self.imports("import torch")
        self._definitions.setdefault(name, HELPERS[name])
        return name

    def _new(self, what: str, key: int, thing: Any) -> str:
        self._made[key] = f"captured_{what}_{len(self._made)}"
        self._alive.append(thing)
        return self._made[key]

    def _after(self, line: str) -> None:
        """A statement after the definitions that are here."""
        self._definitions[f"statement {len(self._definitions)}"] = f"{line}\n"
