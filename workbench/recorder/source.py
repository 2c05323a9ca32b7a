"""The source of one class, function or module of a running program, wherever it was typed: a file, a cell, a console.

Owns the finding of source text. It runs nothing and never raises for source that is not there: the answer is None.
"""

from __future__ import annotations

import ast
import linecache
import os
import sys
import sysconfig
import textwrap
import types
from typing import Any

_LIBRARIES = ("site-packages", "dist-packages")
_STDLIB = tuple({sysconfig.get_paths()["stdlib"], sysconfig.get_paths()["platstdlib"]})
_OURS = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def is_users(module: Any) -> bool:
    """Whether a module is the program's own: a file that no library, torch or Python brought."""
    file = getattr(module, "__file__", None)
    if not isinstance(file, str) or not file.endswith(".py"):
        return False
    path = os.path.abspath(file)
    if any(part in path.split(os.sep) for part in _LIBRARIES) or path.startswith(_OURS + os.sep):
        return False
    return not path.startswith(tuple(base + os.sep for base in _STDLIB))


def is_typed(module_name: str) -> bool:
    """Whether a module cannot be imported again without running the program: `__main__`, a notebook, a console."""
    module = sys.modules.get(module_name)
    return module_name == "__main__" or module is None or not isinstance(getattr(module, "__file__", None), str)


def source_of(thing: Any) -> str | None:
    """Source of a class or function as it was typed, without the indentation of its place."""
    code = _code_of(thing)
    if code is not None:
        return _cut("".join(linecache.getlines(code.co_filename)), thing, code.co_firstlineno)
    for text in _typed_texts():  # a class without a function of its own does not say where it was typed
        if (found := _cut(text, thing, 0)) is not None:
            return found
    return None


def _typed_texts() -> list[str]:
    """What was typed in this program, the newest first: the cells of a notebook, the script."""
    file = getattr(sys.modules.get("__main__"), "__file__", None)
    cells = [name for name in linecache.cache if name.startswith("<") or "ipykernel" in name]
    names = [*reversed(cells), *([file] if isinstance(file, str) else [])]
    return ["".join(linecache.getlines(name)) for name in names]


def _cut(text: str, thing: Any, line: int) -> str | None:
    """The definition of `thing` that has this line (0: any) out of a text."""
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError):
        return None
    wanted = (ast.ClassDef,) if isinstance(thing, type) else (ast.FunctionDef, ast.AsyncFunctionDef)
    around = [
        node
        for node in ast.walk(tree)
        if isinstance(node, wanted)
        and node.name == thing.__name__
        and (not line or _first_line(node) <= line <= (node.end_lineno or 0))
    ]
    if not around:
        return None
    node = max(around, key=lambda one: one.lineno)  # the innermost
    lines = text.splitlines()[_first_line(node) - 1 : node.end_lineno]
    return textwrap.dedent("\n".join(lines)) + "\n"


def postponed(thing: Any) -> bool:
    """Whether it was compiled under `from __future__ import annotations`."""
    code = _code_of(thing)
    return code is not None and bool(code.co_flags & 0x1000000)  # __future__.annotations.compiler_flag


def file_text(module: Any) -> str | None:
    """The whole text of a module's file; None when it cannot be read."""
    try:
        with open(module.__file__, encoding="utf-8") as stream:
            return stream.read()
    except (OSError, ValueError):
        return None


def _first_line(node: Any) -> int:
    return int(min([node.lineno, *(one.lineno for one in node.decorator_list)]))


def _code_of(thing: Any) -> types.CodeType | None:
    """The code of a function, or of the first function that a class itself defines."""
    if isinstance(thing, types.FunctionType):
        return thing.__code__
    for value in vars(thing).values() if isinstance(thing, type) else ():
        inner = getattr(value, "__func__", None) or getattr(value, "fget", None) or value
        if isinstance(inner, types.FunctionType) and inner.__qualname__.startswith(thing.__qualname__ + "."):
            return inner.__code__
    return None
