"""Arguments of forward that are dicts, told by the keys that its source asks them for."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Iterable

from torch import nn

from workbench.protocol.spec import Step


def keys_of(model: nn.Module) -> dict[str, list[str]]:
    """The keys of each argument that is asked for `argument["key"]`; empty where the source does not say."""
    if type(model).__module__.startswith("torch.nn."):
        return {}
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(type(model).forward)))
    except (OSError, TypeError, SyntaxError, ValueError):
        return {}
    function = tree.body[0]
    if not isinstance(function, ast.FunctionDef):
        return {}
    names = {one.arg for one in [*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs]}
    found: dict[str, dict[str, None]] = {}
    for node in ast.walk(function):
        if (
            isinstance(node, ast.Subscript)
            and isinstance(node.value, ast.Name)
            and node.value.id in names
            and isinstance(node.slice, ast.Constant)
            and isinstance(node.slice.value, str)
        ):
            found.setdefault(node.value.id, {})[node.slice.value] = None
    return {name: list(keys) for name, keys in found.items()}


def keyed(name: str, keys: Iterable[str]) -> list[str]:
    """The options that give an argument with these keys."""
    return [f"--input '{name}{Step('key', key).text}=float32[4,…]'" for key in keys]
