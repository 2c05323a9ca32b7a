"""Which names of its program a definition mentions, and what they mean there. Pure: it reads, and runs nothing."""

from __future__ import annotations

import ast
import builtins
import symtable
import sys
import types
from typing import Any

from .source import functions_of


def mentioned(text: str) -> dict[str, bool]:
    """Names that a text takes from around it → whether it wants them at once, and not only when a function runs."""
    found: dict[str, bool] = {}
    tables = [symtable.symtable(text, "captured", "exec")]
    own = {one.get_name() for one in tables[0].get_symbols() if one.is_assigned() or one.is_imported()}
    while tables:
        table = tables.pop(0)
        at_once = table.get_type() in ("module", "class")
        for symbol in table.get_symbols():
            outer = table.get_type() == "module" or symbol.is_global()
            if outer and symbol.is_referenced() and symbol.get_name() not in own:
                found[symbol.get_name()] = found.get(symbol.get_name(), False) or at_once
        tables += table.get_children()
    return found


def quoted(text: str) -> list[str]:
    """Names in quotes, which may be annotations."""
    texts = [node.value for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Constant)]
    return [one for one in dict.fromkeys(texts) if isinstance(one, str) and one.isidentifier()]


def globals_of(thing: Any) -> dict[str, Any]:
    """What the names of a class or function mean: those of its module, and what its functions close over."""
    space: dict[str, Any] = {}
    if isinstance(thing, type):
        space.update(vars(sys.modules.get(thing.__module__, builtins)))
    for one in functions_of(thing):
        if one.__module__ == thing.__module__:
            space.update(one.__globals__)
            space.update((name, value) for name, value in cells_of(one).items() if value is not Ellipsis)
    return space


def cells_of(function: types.FunctionType) -> dict[str, Any]:
    """What a function closes over; Ellipsis for what is not set yet."""
    found: dict[str, Any] = {}
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or ()):  # noqa: B905 (one each)
        try:
            found[name] = cell.cell_contents
        except ValueError:
            found[name] = Ellipsis
    return found
