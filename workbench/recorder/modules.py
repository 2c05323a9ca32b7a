"""Copies of the modules that a program imports and that are its own.

Owns which files those are: what a module of the program imports of the program comes along, libraries stay where they
are.
"""

from __future__ import annotations

import ast
import sys
from typing import Any

from .source import file_text, is_typed, is_users

_MOST_FILES = 500
_MOST_BYTES = 10 << 20


class Copies:
    """Grows by `add`."""

    def __init__(self) -> None:
        self.files: dict[str, str] = {}
        """Path below `code/` → text."""
        self.notes: list[str] = []
        """What was left out, and why."""
        self._copied: set[str] = set()
        self._bytes = 0

    def add(self, module: Any) -> None:
        """Copy a module of the program, with what it imports of the program; libraries stay where they are."""
        name = getattr(module, "__name__", "")
        if not is_users(module) or name in self._copied or is_typed(name):
            return
        self._copied.add(name)
        text = file_text(module)
        if text is None or len(self.files) >= _MOST_FILES or self._bytes + len(text) > _MOST_BYTES:
            self.notes.append(f"the module {name} was left out: it cannot be read, or there is too much of it")
            return
        self._bytes += len(text)
        parts = name.split(".")
        package = hasattr(module, "__path__")
        place = "/".join(parts) + ("/__init__.py" if package else ".py")
        self.files[place] = text
        for depth in range(1, len(parts)):
            above = sys.modules.get(".".join(parts[:depth]))
            if is_users(above):
                self.add(above)
            self.files.setdefault("/".join(parts[:depth]) + "/__init__.py", "")
        try:
            tree = ast.parse(text)
        except (SyntaxError, ValueError, RecursionError):
            return
        for target in _imported(tree, name if package else name.rpartition(".")[0]):
            self.add(sys.modules.get(target))


def _imported(tree: ast.AST, package: str) -> list[str]:
    """Names of all modules that a file may import, anywhere in it."""
    found: list[str] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = package.split(".") if package else []
                kept = above[: len(above) - node.level + 1]
                base = ".".join([*kept, base] if base else kept)
            found += [base, *(f"{base}.{alias.name}" for alias in node.names)]
    parents = [".".join(name.split(".")[:depth]) for name in found for depth in range(1, name.count(".") + 1)]
    return [*dict.fromkeys([*parents, *found])]
