"""The source of one class, function or module of a running program, wherever it was typed: a file, a cell, a console.

Owns the finding of source text. It runs nothing and never raises for source that is not there: the answer is None.
A text is read once and kept, for a script may be edited while it runs.
"""

from __future__ import annotations

import ast
import functools
import linecache
import os
import sys
import sysconfig
import types
from collections.abc import Iterator
from typing import Any

_LIBRARIES = ("site-packages", "dist-packages")
_STDLIB = tuple({sysconfig.get_paths()["stdlib"], sysconfig.get_paths()["platstdlib"]})
_OURS = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))

Node = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda

_TEXTS: dict[str, str] = {}
"""File → its text, as it was when it was first asked for."""
_PROGRAM: list[str] = []
"""The file of the running script: Python forgets it before it calls what `atexit` knows."""


def remember_program() -> None:
    """Keep the name and the text of the running script, as long as they are what runs."""
    file = getattr(sys.modules.get("__main__"), "__file__", None)
    if isinstance(file, str) and not _PROGRAM:
        _PROGRAM.append(file)
        _text(file)


def program_file() -> str:
    """The file of the running script; empty in a notebook or console."""
    file = getattr(sys.modules.get("__main__"), "__file__", None)
    return file if isinstance(file, str) else next(iter(_PROGRAM), "")


def program_name() -> str:
    """What the program is called: its file, or "a notebook or console"."""
    return os.path.basename(program_file()) or "a notebook or console"


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
    if module_name == "__main__" or module is None:
        return True
    if module_name.startswith("torch.") or getattr(module, "__spec__", None) is not None:
        return False  # modules written in C have no file
    return not isinstance(getattr(module, "__file__", None), str)


def source_of(thing: Any) -> str | None:
    """Source of a class or function as it was typed, with its decorators where these made it what it is.

    What was typed indented stays so, below an `if True:`, for a text of several lines must not be shifted.
    """
    found = node_of(thing)
    if found is None or isinstance(found[1], ast.Lambda):
        return None
    text, node = found
    bare = isinstance(thing, types.FunctionType) and not hasattr(thing, "__wrapped__")
    lines = text.splitlines()[(node.lineno if bare else _first_line(node)) - 1 : node.end_lineno]
    return "\n".join([*(["if True:"] if lines[0][:1].isspace() else []), *lines]) + "\n"


def node_of(thing: Any) -> tuple[str, Node] | None:
    """(the text, the definition in it) of a class, a function, or what decorators made of a function."""
    for code in _codes_of(thing):
        text = _text(code.co_filename)
        node = _definition(text, thing, code)
        if node is not None:
            return text, node
    # a class without a function of its own does not say where it was typed; one with some may be of an exec, and what
    # the script has under its name another class
    for text in _typed_texts() if isinstance(thing, type) and not _typed_nowhere(thing) else ():
        node = _definition(text, thing, None)
        if node is not None:
            return text, node
    return None


def postponed(thing: Any) -> bool:
    """Whether it was compiled under `from __future__ import annotations`."""
    flag = 0x1000000  # __future__.annotations.compiler_flag
    return any(bool(code.co_flags & flag) for code in _codes_of(thing) if _text(code.co_filename))


def file_text(module: Any) -> str | None:
    """The whole text of a module's file; None when it cannot be read."""
    return _text(module.__file__) or (None if not os.path.isfile(module.__file__) else "")


def functions_of(thing: Any) -> Iterator[types.FunctionType]:
    """The function itself, or those that a class itself defines; of a decorated one that which was decorated, last."""
    if not isinstance(thing, type):
        yield from _unwrapped(thing)
        return
    for value in list(vars(thing).values()):
        for inner in _unwrapped(value):
            if inner.__module__ == thing.__module__ and inner.__qualname__.startswith(thing.__qualname__ + "."):
                yield inner


def _unwrapped(value: Any) -> Iterator[types.FunctionType]:
    for _ in range(20):  # decorators on decorators
        if isinstance(value, (staticmethod, classmethod)):
            value = value.__func__
        elif isinstance(value, property):
            value = value.fget
        elif isinstance(value, functools.cached_property):
            value = value.func
        if isinstance(value, types.FunctionType):
            yield value
        held = getattr(value, "__dict__", None)
        inner = None
        for name in ("__wrapped__", "_torchdynamo_inline"):  # of functools.wraps, of torch.jit.script
            inner = held.get(name) if isinstance(held, dict) and inner is None else inner
        if inner is None:
            return
        value = inner


def _codes_of(thing: Any) -> list[types.CodeType]:
    """Codes that were typed: not those that a library's decorator or `dataclass` made; the innermost first."""
    codes = [one.__code__ for one in functions_of(thing)]
    if isinstance(thing, type) or hasattr(thing, "__wrapped__"):
        codes.reverse()
    return [code for code in codes if _text(code.co_filename)]


def _typed_nowhere(kind: type) -> bool:
    """Whether a class has functions whose text is not to be had, those apart that a library makes by itself."""
    made = hasattr(kind, "__dataclass_fields__") or hasattr(kind, "__attrs_attrs__") or hasattr(kind, "_fields")
    return any(
        not _text(one.__code__.co_filename)
        for one in functions_of(kind)
        if not (one.__name__.startswith("__") and (made or one.__name__ not in ("__init__", "__call__")))
    )


def _text(file: str) -> str:
    """What was typed there, as it was when it was first asked for; empty when that is not to be had."""
    if file not in _TEXTS:
        text = "".join(linecache.getlines(file))
        if not text:
            return ""
        _TEXTS[file] = text
    return _TEXTS[file]


def _typed_texts() -> list[str]:
    """What was typed in this program, the newest first: the cells of a notebook, the script."""
    cells = [name for name in linecache.cache if name.startswith("<") or "ipykernel" in name]
    return [_text(name) for name in (*reversed(cells), program_file()) if name]


@functools.lru_cache(maxsize=32)
def _tree(text: str) -> ast.Module | None:
    try:
        return ast.parse(text)
    except (SyntaxError, ValueError, RecursionError):
        return None


def _definition(text: str, thing: Any, code: types.CodeType | None) -> Node | None:
    """The innermost definition of `thing` in a text that has the line of `code` (None: any line)."""
    tree = _tree(text)
    line = code.co_firstlineno if code is not None else getattr(thing, "__firstlineno__", 0)
    itself = isinstance(thing, (type, types.FunctionType)) or code is None
    name = thing.__name__ if itself or code is None else code.co_name
    if tree is None:
        return None
    if name == "<lambda>" and code is not None:
        return _lambda(tree, text, code)
    wanted = (ast.ClassDef,) if isinstance(thing, type) else (ast.FunctionDef, ast.AsyncFunctionDef)
    around = [
        node
        for node in ast.walk(tree)
        if isinstance(node, wanted)
        and node.name == name
        and (not line or _first_line(node) <= line <= (node.end_lineno or 0))
    ]
    if isinstance(thing, type) or (code is not None and code.co_name == name):
        return max(around, key=lambda one: one.lineno) if around else None
    return None


def _lambda(tree: ast.Module, text: str, code: types.CodeType) -> Node | None:
    """The lambda of this code; None where several of its line could be it."""
    found: dict[str, ast.Lambda] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Lambda) and node.lineno <= code.co_firstlineno <= (node.end_lineno or 0):
            made = compile(ast.Expression(node), "", "eval").co_consts
            inner = next((one for one in made if isinstance(one, types.CodeType)), None)
            if inner is not None and _likeness(inner) == _likeness(code):
                found[ast.get_source_segment(text, node) or ""] = node
    return next(iter(found.values())) if len(found) == 1 else None


def _likeness(code: types.CodeType) -> Any:
    """What is the same of a code wherever it is compiled."""
    plain = [one for one in code.co_consts if not isinstance(one, types.CodeType)]
    return code.co_varnames, sorted({*code.co_names, *code.co_freevars}), repr(plain), code.co_argcount


def _first_line(node: Any) -> int:
    return int(min([node.lineno, *(one.lineno for one in node.decorator_list)]))
