"""Copies of the user's functions whose tests report themselves, and what is told of a function by its source.

Writes code and runs none: who is reported to and when a copy stands in a function's place is not known here.
"""

from __future__ import annotations

import ast
import dis
import linecache
import operator
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from types import CodeType
from typing import Any

PROBE = "__workbench_probe__"
"""Name under which a copied function finds what it reports to."""

OPERATORS: dict[type[ast.cmpop], tuple[str, Callable[[Any, Any], Any]]] = {
    ast.Gt: ("above", operator.gt),
    ast.GtE: ("above", operator.ge),
    ast.Lt: ("below", operator.lt),
    ast.LtE: ("below", operator.le),
    ast.Eq: ("equal", operator.eq),
    ast.NotEq: ("unequal", operator.ne),
}


@dataclass
class Branch:
    """One `if`, `while` or conditional expression of the user's."""

    place: str
    """ "model.py:41"."""
    source: str
    """Its line, stripped."""
    last: int = 0
    """Number of the last line of its test."""
    sides: set[bool] = field(default_factory=set)
    """Sides of inputs that both models were asked and answered."""
    refused: set[bool] = field(default_factory=set)
    """Sides of inputs that eager did not take, of which the artifact was asked."""
    answers: bool = False
    """The artifact answered one that eager did not take."""
    taken: set[bool] = field(default_factory=set)
    """Sides of the last call; empty: it was not reached."""
    ever: set[bool] = field(default_factory=set)
    """Sides of any call, also of those that nobody compared."""
    seen: set[float] = field(default_factory=set)
    """Margins so far, two of them at most: more than one says that it depends on the input."""
    tensor: bool = False
    """Its test was a tensor, or compared one."""
    margin: float | None = None
    """Of the last call: positive where the comparison held, and how far from not holding; None: nothing comparable."""
    truth: bool | None = None
    """Of its last test in the last call; None: it was not reached."""

    @property
    def depends(self) -> bool:
        """Whether what is tested changes with the input, as far as was seen."""
        return self.tensor or len(self.ever) > 1 or len(self.seen) > 1

    @property
    def words(self) -> str:
        return f"{self.place} ({self.source})"

    @property
    def refuses(self) -> bool:
        """Whether no input was answered on one side because eager does not take what reaches it."""
        return bool(self.refused - self.sides)

    def stands_at(self, place: str) -> bool:
        """Whether a place ("model.py:42") is in a line of this test."""
        (own, first), (file, line) = self.place.rsplit(":", 1), place.rsplit(":", 1)
        return own == file and int(first) <= int(line) <= max(int(first), self.last)


def instrumented(code: CodeType, first: int) -> tuple[CodeType, list[Branch]] | None:
    """(a copy of a function's code that reports its branches, numbered from `first`, and these); None without any."""
    node, owner = _definition(code)
    if node is None:
        return None
    writer = _Writer(code, first, _comparisons_by_name(node))
    body = [writer.visit(statement) for statement in node.body]
    if not writer.branches:
        return None
    node.body, node.decorator_list = body, []
    wrapped: ast.stmt = node
    if owner:  # names such as self.__limit are spelt after the class around them
        wrapped = ast.ClassDef(owner, [], [], [node], [])
        if sys.version_info >= (3, 12):
            wrapped.type_params = []
    if code.co_freevars:  # names of an enclosing function, `__class__` among them, must be found as such
        names = [ast.Name(name, ast.Store()) for name in code.co_freevars]
        held = ast.Assign([*names], ast.Constant(None))
        wrapped = ast.FunctionDef("__outer__", _no_arguments(), [held, wrapped], [], None)
        if sys.version_info >= (3, 12):
            wrapped.type_params = []
    module = ast.fix_missing_locations(ast.Module([wrapped], []))
    copied = _code_named(compile(module, code.co_filename, "exec", dont_inherit=True), code)
    return (copied, writer.branches) if copied is not None else None


def _definition(code: CodeType) -> tuple[ast.FunctionDef | None, str]:
    """The function that `code` was compiled from and the class around it ("": none); None where it is not found."""
    source = "".join(linecache.getlines(code.co_filename))
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return None, ""
    waiting: list[tuple[ast.AST, str]] = [(tree, "")]
    while waiting:
        parent, owner = waiting.pop()
        for node in ast.iter_child_nodes(parent):
            if isinstance(node, ast.FunctionDef) and node.name == code.co_name and _begins(node, code):
                return node, owner
            waiting.append((node, node.name if isinstance(node, ast.ClassDef) else owner))
    return None, ""


def _begins(node: ast.FunctionDef, code: CodeType) -> bool:
    return code.co_firstlineno in {node.lineno, *(one.lineno for one in node.decorator_list)}


def functions_inside(code: CodeType) -> Iterator[CodeType]:
    """The code of the functions that are defined inside another, at any depth."""
    for one in code.co_consts:
        if isinstance(one, CodeType):
            yield one
            yield from functions_inside(one)


def has_tests(code: CodeType) -> bool:
    """Whether anything is tested in a function, as its source says; of one without source, as its jumps say."""
    node, _ = _definition(code)
    if node is not None:
        return any(isinstance(one, (ast.If, ast.While, ast.IfExp)) for one in ast.walk(node))
    return any("JUMP" in one.opname and "_IF_" in one.opname for one in dis.get_instructions(code))


def _no_arguments() -> ast.arguments:
    return ast.arguments([], [], None, [], [], None, [])


def _code_named(module: CodeType, original: CodeType) -> CodeType | None:
    """The function's code inside a compiled module, if it can stand in the place of `original`."""
    waiting = [module]
    while waiting:
        code = waiting.pop()
        if code.co_name == original.co_name and code.co_varnames[: code.co_argcount] == original.co_varnames[
            : original.co_argcount
        ]:  # fmt: skip
            return code if code.co_freevars == original.co_freevars else None
        waiting += [one for one in code.co_consts if isinstance(one, CodeType)]
    return None


def _comparisons_by_name(node: ast.FunctionDef) -> dict[str, ast.expr]:
    """Names that hold the result of a comparison: `flag = x.mean() > 0`, tested later."""
    found: dict[str, ast.expr] = {}
    for one in ast.walk(node):
        if not isinstance(one, ast.Assign) or len(one.targets) != 1:
            continue
        target = one.targets[0]
        if isinstance(target, ast.Name) and any(isinstance(part, ast.Compare) for part in ast.walk(one.value)):
            found[target.id] = one.value
    return found


class _Writer(ast.NodeTransformer):
    """Writes reports into the tests of one function and of those inside it."""

    def __init__(self, code: CodeType, first: int, named: dict[str, ast.expr]) -> None:
        self.code, self.first, self.named = code, first, named
        self.branches: list[Branch] = []
        self._owners: dict[ast.expr, int] = {}
        """Value of an assignment whose comparisons belong to a branch that tests its name."""

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        return node

    def visit_If(self, node: ast.If) -> ast.AST:
        node.test = self._test(node.test)
        return self.generic_visit(node)

    def visit_While(self, node: ast.While) -> ast.AST:
        node.test = self._test(node.test)
        return self.generic_visit(node)

    def visit_IfExp(self, node: ast.IfExp) -> ast.AST:
        node.test = self._test(node.test)
        return self.generic_visit(node)

    def _test(self, test: ast.expr) -> ast.expr:
        number = self.first + len(self.branches)
        line = linecache.getline(self.code.co_filename, test.lineno).strip()
        place = f"{os.path.basename(self.code.co_filename)}:{test.lineno}"
        self.branches.append(Branch(place, line, test.end_lineno or test.lineno))
        for name in [one.id for one in ast.walk(test) if isinstance(one, ast.Name)]:
            if name in self.named:  # the value was computed before: its comparison reports for this branch
                value = self.named.pop(name)
                _report_comparisons(value, number)
        wrapped = ast.Expression(test)
        _report_comparisons(wrapped, number)
        return _call("side", number, wrapped.body)


def _report_comparisons(root: ast.AST, number: int) -> None:
    """Every single comparison below `root` reports its margin to branch `number`."""
    writer = _Comparisons(number)
    writer.generic_visit(root)


class _Comparisons(ast.NodeTransformer):
    def __init__(self, number: int) -> None:
        self.number = number
        self._every = False

    def visit_Call(self, node: ast.Call) -> ast.AST:
        before = self._every
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        self._every = name == "all" or (self._every and name != "any")
        node = self.generic_visit(node)  # type: ignore[assignment]
        self._every = before
        return node

    def visit_Compare(self, node: ast.Compare) -> ast.AST:
        if len(node.ops) != 1 or type(node.ops[0]) not in OPERATORS:
            return self.generic_visit(node)
        left, right = self.visit(node.left), self.visit(node.comparators[0])
        name, every = ast.Constant(type(node.ops[0]).__name__), ast.Constant(self._every)
        return ast.copy_location(_call("compared", self.number, name, every, left, right), node)


def _call(method: str, number: int, *arguments: ast.expr) -> ast.expr:
    function = ast.Attribute(ast.Name(PROBE, ast.Load()), method, ast.Load())
    return ast.copy_location(ast.Call(function, [ast.Constant(number), *arguments], []), arguments[-1])
