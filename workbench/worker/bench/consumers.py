"""Which module takes an argument of forward, read from forward's source without running it.

Owns the reading of source. It answers only what the source says plainly: `self.embed(ids)`; anything else is None.
"""

from __future__ import annotations

import ast
import inspect
import textwrap
from dataclasses import dataclass, field

from torch import nn

PASSES = (nn.Dropout, nn.Identity, nn.ReLU, nn.GELU, nn.SiLU, nn.Tanh, nn.Sigmoid, nn.LeakyReLU)
"""Modules that leave shape and dtype alone: what comes behind them says more."""

_DEPTH = 8
"""How far custom modules are followed inwards."""


@dataclass(frozen=True)
class Consumer:
    """The module that takes an argument."""

    path: str
    module: nn.Module
    direct: bool
    """The argument reaches it unchanged."""
    flat: bool = False
    """It was flattened on the way."""


@dataclass
class _Reader(ast.NodeVisitor):
    """Walks one forward in the order of its lines and notes the first call `self.x(argument)` of each argument."""

    root: nn.Module
    names: set[str]
    me: str = "self"
    """What forward calls its module."""
    found: dict[str, tuple[str, nn.Module, int, bool]] = field(default_factory=dict)
    changed: set[str] = field(default_factory=set)
    locals: dict[str, tuple[str, nn.Module]] = field(default_factory=dict)

    def visit_Assign(self, node: ast.Assign) -> None:
        self.visit(node.value)
        self._rebound(node.targets)

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        self.visit(node.value)
        self._rebound([node.target])

    def visit_For(self, node: ast.For) -> None:
        whole = self._module(node.iter)
        if whole is not None and isinstance(node.target, ast.Name) and len(whole[1]._modules):
            name, first = next(iter(whole[1]._modules.items()))
            if first is not None:
                self.locals[node.target.id] = (_join(whole[0], name), first)
        for statement in node.body:
            self.visit(statement)

    def visit_Call(self, node: ast.Call) -> None:
        for inner in [*node.args, *(keyword.value for keyword in node.keywords)]:
            if not isinstance(inner, ast.Name):
                self.visit(inner)
        self.visit(node.func)
        callee = self._module(node.func)
        if callee is None:
            return
        for place, argument in enumerate(node.args):
            if isinstance(argument, ast.Name) and argument.id in self.names and argument.id not in self.found:
                self.found[argument.id] = (*callee, place, argument.id not in self.changed)

    def _rebound(self, targets: list[ast.expr]) -> None:
        for target in targets:
            for node in ast.walk(target):
                if isinstance(node, ast.Name):
                    self.changed.add(node.id)

    def _module(self, node: ast.expr) -> tuple[str, nn.Module] | None:
        """The module that `self.a.b`, `self.a[0]` or a loop variable over one names."""
        if isinstance(node, ast.Name):
            return ("", self.root) if node.id == self.me else self.locals.get(node.id)
        if isinstance(node, ast.Attribute):
            above, key = self._module(node.value), node.attr
        elif isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Constant):
            above, key = self._module(node.value), str(node.slice.value)
        else:
            return None
        child = None if above is None else above[1]._modules.get(key)
        return None if above is None or child is None else (_join(above[0], key), child)


def consumer_of(model: nn.Module, name: str, path: str = "", depth: int = 0) -> Consumer | None:
    """The innermost known module that takes forward's argument `name`; None when the source does not say."""
    if depth > _DEPTH:
        return None
    if isinstance(model, nn.Sequential):
        return _through(model, path, depth)
    if type(model).__module__.startswith("torch.nn."):
        return Consumer(path, model, True)
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(type(model).forward)))
    except (OSError, TypeError, SyntaxError, ValueError):
        return None
    function = tree.body[0]
    if not isinstance(function, ast.FunctionDef):
        return None
    own = function.args.posonlyargs + function.args.args
    reader = _Reader(model, {name}, own[0].arg if own else "self")
    for statement in function.body:
        reader.visit(statement)
    if name not in reader.found:
        return None
    inner_path, module, place, direct = reader.found[name]
    here = _join(path, inner_path)
    inner = _argument_name(module, place)
    found = Consumer(here, module, True) if inner is None else consumer_of(module, inner, here, depth + 1)
    return found and Consumer(found.path, found.module, found.direct and direct, found.flat)


def _through(model: nn.Sequential, path: str, depth: int) -> Consumer | None:
    """The first module of a Sequential that says something about its input."""
    flat = False
    for key, child in model._modules.items():
        if child is None or isinstance(child, PASSES):
            continue
        if isinstance(child, nn.Flatten):
            flat = True
            continue
        inner = _argument_name(child, 0) or "input"
        found = consumer_of(child, inner, _join(path, key), depth + 1)
        return found and Consumer(found.path, found.module, found.direct, flat or found.flat)
    return None


def _argument_name(module: nn.Module, place: int) -> str | None:
    """Name of forward's positional argument `place`; None for torch's own layers, which need not be looked into."""
    if type(module).__module__.startswith("torch.nn.") and not isinstance(module, nn.Sequential):
        return None
    try:
        names = list(inspect.signature(module.forward).parameters)
    except (TypeError, ValueError):
        return None
    return names[place] if place < len(names) else None


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path and name else path or name
