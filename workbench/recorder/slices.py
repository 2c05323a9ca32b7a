"""The part of a program that a model's class needs: a slice of what was typed, and copies of modules that are imported.

Owns what goes into a capture's `code/`. A script or a notebook must not be run again to open its model, for that would
train it again: of `__main__` only definitions, imports and constants are taken, those that the class leads to. Modules
that are imported anyway are copied whole.
"""

from __future__ import annotations

import ast
import builtins
import os
import sys
import types
from typing import Any

import torch

from .source import file_text, is_typed, is_users, postponed, source_of

_MOST_FILES = 500
_MOST_BYTES = 10 << 20
_PLAIN = (type(None), bool, int, float, complex, str, bytes, torch.dtype, torch.device, torch.Size)


class Slice:
    """Grows by `add`; `text` and `files` are what it came to."""

    def __init__(self) -> None:
        self.files: dict[str, str] = {}
        """Path below `code/` → text."""
        self.notes: list[str] = []
        """What was left out, and why."""
        self._imports: dict[str, None] = {}
        self._definitions: dict[str, str] = {}
        """Top-level name → its text, dependencies first."""
        self._seen: set[str] = set()
        self._copied: set[str] = set()
        self._bytes = 0
        self._postponed = False

    @property
    def text(self) -> str:
        """The source of `captured.py` without its factory."""
        future = "from __future__ import annotations\n\n" if self._postponed else ""
        return future + "\n".join(self._imports) + "\n\n\n" + "\n\n".join(self._definitions.values())

    def add(self, thing: Any) -> bool:
        """Take a class or function; False when its source is not to be had."""
        name = getattr(thing, "__module__", "")
        if is_typed(name):
            return self._typed(thing.__qualname__.split(".<locals>.")[-1].split(".")[0], thing)
        self.copy(sys.modules.get(name))
        return True

    def use(self, thing: type) -> None:
        """Import a class of a module by its own name."""
        self._imports[_import_from(thing.__module__, thing.__qualname__, thing.__qualname__.split(".")[0])] = None

    def copy(self, module: Any) -> None:
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
                self.copy(above)
            self.files.setdefault("/".join(parts[:depth]) + "/__init__.py", "")
        try:
            tree = ast.parse(text)
        except (SyntaxError, ValueError, RecursionError):
            return
        for target in _imported(tree, name if package else name.rpartition(".")[0]):
            self.copy(sys.modules.get(target))

    def _typed(self, name: str, thing: Any) -> bool:
        """A definition of `__main__`, and before it everything that its text mentions."""
        if name in self._seen:
            return name in self._definitions
        self._seen.add(name)
        text = source_of(thing)
        if text is None:
            self.notes.append(f"the source of {name} is not to be had: define it in a file or a notebook")
            return False
        self._postponed = self._postponed or postponed(thing)
        space = _globals_of(thing)
        for mentioned in _mentioned(text):
            if mentioned in space and mentioned != name:
                self._global(mentioned, space[mentioned], space)
        self._definitions[name] = text
        return True

    def _global(self, name: str, value: Any, space: dict[str, Any]) -> None:
        if name in self._seen:
            return
        if isinstance(value, types.ModuleType):
            self._seen.add(name)
            self.copy(value)
            self._imports[f"import {value.__name__}" if value.__name__ == name else _import_as(value, name)] = None
            return
        owner = getattr(value, "__module__", None) or _home_of(value, name)
        called = getattr(value, "__qualname__", name)
        named = isinstance(value, (type, types.FunctionType)) or _leads_to(owner, called, value)
        if named and isinstance(owner, str) and not is_typed(owner):
            self._seen.add(name)
            self.copy(sys.modules.get(owner))
            self._imports[_import_from(owner, called, name)] = None
        elif isinstance(value, (type, types.FunctionType)):
            known = value.__qualname__.split(".")[0]
            self._typed(known, value)
            if known != name and known in self._definitions:
                self._seen.add(name)
                self._definitions[name] = f"{name} = {known}\n"
        elif _is_plain(value):
            self._seen.add(name)
            self._imports["import torch"] = None
            self._definitions[name] = f"{name} = {_literal(value)}\n"
        elif getattr(builtins, name, None) is not value:
            self._seen.add(name)
            self.notes.append(f"{name}, a {type(value).__name__} of the program, was left out")


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


def _mentioned(text: str) -> list[str]:
    """Every name that a definition mentions, in order, those in quoted annotations too."""
    found: dict[str, None] = {}
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Name):
            found[node.id] = None
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.isidentifier():
            found[node.value] = None
    return list(found)


def _globals_of(thing: Any) -> dict[str, Any]:
    if isinstance(thing, types.FunctionType):
        return dict(_cells(thing), **thing.__globals__)
    for value in vars(thing).values():
        inner = getattr(value, "__func__", None) or getattr(value, "fget", None) or value
        if isinstance(inner, types.FunctionType):
            return dict(_cells(inner), **inner.__globals__)
    return vars(sys.modules.get(thing.__module__, builtins))


def _cells(function: types.FunctionType) -> dict[str, Any]:
    """What a function closes over, as far as it is set."""
    found = {}
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or ()):  # noqa: B905 (one each)
        try:
            found[name] = cell.cell_contents
        except ValueError:
            continue
    return found


def _home_of(value: Any, name: str) -> str | None:
    """The module of a builtin function that does not say so itself."""
    return "torch" if isinstance(value, types.BuiltinFunctionType) and getattr(torch, name, None) is value else None


def _leads_to(owner: str | None, called: str, value: Any) -> bool:
    """Whether `from owner import called` gives this very value."""
    return getattr(sys.modules.get(owner or ""), str(called), None) is value


def _import_as(module: types.ModuleType, name: str) -> str:
    return f"import {module.__name__} as {name}"


def _import_from(owner: str, qualname: str, name: str) -> str:
    first = qualname.split(".")[0]
    return f"from {owner} import {first}" + (f" as {name}" if first != name else "")


def _is_plain(value: Any) -> bool:
    if isinstance(value, (list, tuple, set, frozenset)) and len(value) < 10_000:
        return all(map(_is_plain, value))
    if isinstance(value, dict) and len(value) < 10_000:
        return all(_is_plain(key) and _is_plain(one) for key, one in value.items())
    return type(value) in _PLAIN


def _literal(value: Any) -> str:
    if isinstance(value, torch.device):
        return f"torch.{value!r}"
    if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
        return f"float({str(value)!r})"
    return repr(value)


def program_name() -> str:
    """What the program is called: its file, or "a notebook or console"."""
    file = getattr(sys.modules.get("__main__"), "__file__", None)
    return os.path.basename(file) if isinstance(file, str) else "a notebook or console"
