"""What a program did to its classes after they were defined: a forward that was replaced, a number that was set anew.

Pure: it compares a class with its source, and runs nothing.
"""

from __future__ import annotations

import ast
import types
from typing import Any

from torch import nn

from .source import node_of

_PLAIN = (type(None), bool, int, float, str)


def patches(thing: Any) -> dict[str, Any]:
    """Attribute → value, of a class of modules, where the value is not what its source says."""
    found = node_of(thing) if isinstance(thing, type) and issubclass(thing, nn.Module) else None
    if found is None or not isinstance(found[1], ast.ClassDef):
        return {}
    defined: dict[str, Any] = {}
    for one in found[1].body:
        if isinstance(one, (ast.FunctionDef, ast.AsyncFunctionDef)):
            defined[one.name] = one
        for target in one.targets if isinstance(one, ast.Assign) else [getattr(one, "target", None)]:
            if isinstance(target, ast.Name) and getattr(one, "value", None) is not None:
                defined[target.id] = one
    changed = {}
    for name, value in vars(thing).items():
        if not name.startswith("__") and _is_other(defined.get(name), name, value):
            changed[name] = value
    return changed


def _is_other(node: Any, name: str, value: Any) -> bool:
    if isinstance(value, types.FunctionType):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            inside = node.lineno <= value.__code__.co_firstlineno <= (node.end_lineno or 0)
            return not node.decorator_list and not (inside and value.__code__.co_name == name)
        return node is None
    if type(value) not in _PLAIN:
        return False
    if node is None:
        return not name.startswith("_")
    try:
        said = ast.literal_eval(node.value)
    except (ValueError, TypeError, AttributeError, SyntaxError):
        return False  # it is computed
    return type(said) is not type(value) or repr(said) != repr(value)
