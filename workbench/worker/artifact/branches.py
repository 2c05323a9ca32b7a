"""Which branches of the user's own code a forward takes, and how far it was from taking the other side.

While it is watched, the code objects of the user's functions are replaced by copies whose tests report themselves;
afterwards they are the very same as before. Knows nothing of artifacts and makes no inputs.
"""

from __future__ import annotations

import ast
import contextlib
import gc
import linecache
import operator
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from types import CodeType, FrameType, FunctionType
from typing import Any

import torch

from workbench.worker.bench.failing import is_users

PROBE = "__workbench_probe__"
"""Name under which a copied function finds what it reports to."""

MOST = 200
"""Functions that are looked into."""

_OPERATORS: dict[type[ast.cmpop], tuple[str, Callable[[Any, Any], Any]]] = {
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
    sides: set[bool] = field(default_factory=set)
    """Sides that were taken so far."""
    seen: set[float] = field(default_factory=set)
    """Margins so far, two of them at most: more than one says that it depends on the input."""
    tensor: bool = False
    """Its test was a tensor, or compared one."""
    margin: float | None = None
    """Of the last call: positive where the comparison held, and how far from not holding; None: nothing comparable."""
    truth: bool | None = None
    """Of the last call; None: it was not reached."""

    @property
    def depends(self) -> bool:
        """Whether what is tested changes with the input, as far as was seen."""
        return self.tensor or len(self.sides) > 1 or len(self.seen) > 1

    @property
    def words(self) -> str:
        return f"{self.place} ({self.source})"


class Branches:
    """The branches in what a model's forward runs of the user's code."""

    def __init__(self, run: Callable[[], object]) -> None:
        """`run` calls the model once, which shows what functions there are. It must not raise."""
        self.all: list[Branch] = []
        self._swaps: list[tuple[FunctionType, CodeType, CodeType]] = []
        for code in _codes_of(run)[:MOST]:
            functions = [
                one for one in gc.get_referrers(code) if isinstance(one, FunctionType) and one.__code__ is code
            ]
            made = _instrumented(code, len(self.all))
            if made is not None and functions:
                copied, branches = made
                self.all += branches
                self._swaps += [(function, code, copied) for function in functions]

    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        """Inside, every forward reports its branches."""
        spaces = {id(function.__globals__): function.__globals__ for function, _, _ in self._swaps}
        for space in spaces.values():
            space[PROBE] = self
        for function, _, copied in self._swaps:
            function.__code__ = copied
        try:
            yield
        finally:
            for function, code, _ in self._swaps:
                function.__code__ = code
            for space in spaces.values():
                space.pop(PROBE, None)

    def begin(self) -> None:
        """The next call starts: nothing has been taken in it."""
        for branch in self.all:
            branch.margin = branch.truth = None

    def side(self, number: int, value: Any) -> bool:
        """Called by the copies: the truth of a whole test."""
        branch = self.all[number]
        branch.tensor = branch.tensor or isinstance(value, torch.Tensor)
        branch.truth = bool(value)
        branch.sides.add(branch.truth)
        return branch.truth

    def compared(self, number: int, name: str, every: bool, left: Any, right: Any) -> Any:
        """Called by the copies: one comparison inside a test, whose result it returns."""
        word, compare = next(pair for kind, pair in _OPERATORS.items() if kind.__name__ == name)
        branch = self.all[number]
        branch.tensor = branch.tensor or isinstance(left, torch.Tensor) or isinstance(right, torch.Tensor)
        margin = _margin(word, every, left, right)
        if margin is not None:
            branch.margin = margin
            if len(branch.seen) < 2:
                branch.seen.add(margin)
        return compare(left, right)


def _margin(word: str, every: bool, left: Any, right: Any) -> float | None:
    """How far a comparison is from its other result, positive where it holds; `every`: for all elements."""
    numbers = (int, float, torch.Tensor)
    if not isinstance(left, numbers) or not isinstance(right, numbers):
        return None
    with torch.no_grad():
        try:
            distance = torch.as_tensor(left).double() - torch.as_tensor(right).double()
        except (RuntimeError, TypeError):
            return None  # shapes that do not go together, or numbers without an order
        if not distance.numel():
            return None
        distance = -distance if word == "below" else distance
        if word in ("equal", "unequal"):
            distance = -distance.abs() if word == "equal" else distance.abs()
        return float(distance.min() if every else distance.max())


def _codes_of(run: Callable[[], object]) -> list[CodeType]:
    """Code of every function of the user's that `run` calls, in the order of the first calls."""
    found: dict[CodeType, None] = {}

    def look(frame: FrameType, event: str, _: Any) -> None:
        if event == "call" and is_users(frame.f_code.co_filename):
            found.setdefault(frame.f_code)

    before = sys.getprofile()
    sys.setprofile(look)
    try:
        run()
    finally:
        sys.setprofile(before if callable(before) else None)
    return list(found)


def _instrumented(code: CodeType, first: int) -> tuple[CodeType, list[Branch]] | None:
    """(a copy of a function's code that reports its branches, numbered from `first`, and these); None without any."""
    node = _definition(code)
    if node is None:
        return None
    writer = _Writer(code, first, _comparisons_by_name(node))
    body = [writer.visit(statement) for statement in node.body]
    if not writer.branches:
        return None
    node.body, node.decorator_list = body, []
    wrapped: ast.stmt = node
    if code.co_freevars:  # names of an enclosing function, `__class__` among them, must be found as such
        names = [ast.Name(name, ast.Store()) for name in code.co_freevars]
        held = ast.Assign([*names], ast.Constant(None))
        wrapped = ast.FunctionDef("__outer__", _no_arguments(), [held, node], [], None)
        if sys.version_info >= (3, 12):
            wrapped.type_params = []
    module = ast.fix_missing_locations(ast.Module([wrapped], []))
    copied = _code_named(compile(module, code.co_filename, "exec", dont_inherit=True), code)
    return (copied, writer.branches) if copied is not None else None


def _definition(code: CodeType) -> ast.FunctionDef | None:
    """The function that `code` was compiled from; None where it cannot be written anew alike."""
    source = "".join(linecache.getlines(code.co_filename))
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return None
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and node.name == code.co_name:
            lines = {node.lineno, *(one.lineno for one in node.decorator_list)}
            private = any(
                isinstance(one, ast.Attribute) and one.attr.startswith("__") and not one.attr.endswith("__")
                for one in ast.walk(node)
            )  # its name depends on the class around it
            yields = any(isinstance(one, (ast.Yield, ast.YieldFrom)) for one in ast.walk(node))
            if code.co_firstlineno in lines:
                return None if private or yields else node
    return None


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
    """Writes reports into the tests of one function; functions inside it stay as they are."""

    def __init__(self, code: CodeType, first: int, named: dict[str, ast.expr]) -> None:
        self.code, self.first, self.named = code, first, named
        self.branches: list[Branch] = []
        self._owners: dict[ast.expr, int] = {}
        """Value of an assignment whose comparisons belong to a branch that tests its name."""

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        return node

    def visit_Lambda(self, node: ast.Lambda) -> ast.AST:
        return node

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
        self.branches.append(Branch(f"{os.path.basename(self.code.co_filename)}:{test.lineno}", line))
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
        if len(node.ops) != 1 or type(node.ops[0]) not in _OPERATORS:
            return self.generic_visit(node)
        left, right = self.visit(node.left), self.visit(node.comparators[0])
        name, every = ast.Constant(type(node.ops[0]).__name__), ast.Constant(self._every)
        return ast.copy_location(_call("compared", self.number, name, every, left, right), node)


def _call(method: str, number: int, *arguments: ast.expr) -> ast.expr:
    function = ast.Attribute(ast.Name(PROBE, ast.Load()), method, ast.Load())
    return ast.copy_location(ast.Call(function, [ast.Constant(number), *arguments], []), arguments[-1])
