"""One piece of typed Python: run, its output caught and bounded, its value printed, its errors without our frames.

Owns nothing that lasts but the lines that were typed, which tracebacks quote. What the names mean is the caller's.
"""

from __future__ import annotations

import ast
import contextlib
import io
import itertools
import linecache
import pprint
import traceback
from dataclasses import dataclass
from typing import Any

from workbench.worker.bench.failing import is_users

MOST_OUTPUT = 20_000
"""Characters of output that are kept, of the beginning."""
_QUOTED = 200
"""Entries whose lines are remembered for tracebacks."""
_WIDTH = 100

_numbers = itertools.count(1)
NAME = "<console"
"""Beginning of the file name of typed code."""


@dataclass(frozen=True)
class Outcome:
    """What a piece came to."""

    output: str
    error: str
    value: Any
    """Of its last expression; None when there was none."""
    names: frozenset[str]
    """Names that it uses."""


class _Printed(io.TextIOBase):
    """The beginning of what is printed; the rest is counted."""

    def __init__(self) -> None:
        self._parts: list[str] = []
        self._room = MOST_OUTPUT
        self._lost = 0

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        kept = text[: self._room]
        self._room -= len(kept)
        self._lost += len(text) - len(kept)
        if kept:
            self._parts.append(kept)
        return len(text)

    @property
    def text(self) -> str:
        more = f"\n… {self._lost:,} more characters" if self._lost else ""
        return "".join(self._parts).rstrip("\n") + more


def compiled(text: str) -> tuple[Any, Any, str]:
    """(statements, last expression, "") ready to run, either None; (None, None, what is wrong with it)."""
    name = f"{NAME} {next(_numbers)}>"
    source = text if text.endswith("\n") else text + "\n"
    try:
        tree = ast.parse(source, name)
        last = ast.Expression(tree.body.pop().value) if tree.body and isinstance(tree.body[-1], ast.Expr) else None  # type: ignore[attr-defined]
        statements = compile(tree, name, "exec", dont_inherit=True) if tree.body else None
        expression = compile(last, name, "eval", dont_inherit=True) if last is not None else None
    except (SyntaxError, ValueError, OverflowError, RecursionError, MemoryError) as problem:
        return None, None, "".join(traceback.format_exception_only(type(problem), problem)).rstrip()
    _remember(name, source)
    return statements, expression, ""


def names_in(*codes: Any) -> frozenset[str]:
    """Every name that code objects use, functions inside them included."""
    found: set[str] = set()
    left = [code for code in codes if code is not None]
    while left:
        code = left.pop()
        found.update(code.co_names)
        left += [constant for constant in code.co_consts if hasattr(constant, "co_names")]
    return frozenset(found)


def run(statements: Any, expression: Any, namespace: dict[str, Any]) -> Outcome:
    """Run what `compiled` gave in `namespace`. Lets KeyboardInterrupt end it, with what was printed until then."""
    printed = _Printed()
    value: Any = None
    error = ""
    try:
        with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
            if statements is not None:
                exec(statements, namespace)
            if expression is not None:
                value = eval(expression, namespace)
            if value is not None:
                printed.write(shown(value))
    except SystemExit:
        error = "exit() ends nothing here: esc closes the console, and K in the app ends the worker."
    except KeyboardInterrupt as problem:
        error = f"interrupted{_at(problem)}"
        value = None
    except BaseException as problem:  # noqa: BLE001 (whatever typed code raises is its answer)
        error = told(problem)
        value = None
    return Outcome(printed.text, error, value, names_in(statements, expression))


def shown(value: Any) -> str:
    """The value as Python prints it; containers over several lines. What its own `__repr__` raises goes through."""
    if type(value) in (dict, list, tuple, set, frozenset) and len(value) <= 1000:
        return pprint.pformat(value, width=_WIDTH, sort_dicts=False, compact=True)
    return repr(value)


def told(problem: BaseException) -> str:
    """The traceback with the user's frames only, then what was raised."""
    frames = [
        frame
        for frame in traceback.extract_tb(problem.__traceback__)
        if frame.filename.startswith(NAME) or is_users(frame.filename)
    ]
    head = ["Traceback:\n", *traceback.format_list(frames)] if len(frames) > 1 else []
    last = traceback.format_exception_only(type(problem), problem)
    text = "".join([*head, *last]).rstrip()
    return text if len(text) <= MOST_OUTPUT else text[:MOST_OUTPUT] + "\n…"


def _at(problem: BaseException) -> str:
    """Where it was interrupted, when that was in the user's code."""
    for frame in reversed(traceback.extract_tb(problem.__traceback__)):
        if is_users(frame.filename):
            return f" at {frame.filename}:{frame.lineno}"
    return ""


def _remember(name: str, source: str) -> None:
    linecache.cache[name] = (len(source), None, source.splitlines(keepends=True), name)
    ours = [key for key in linecache.cache if isinstance(key, str) and key.startswith(NAME)]
    for old in ours[:-_QUOTED]:
        del linecache.cache[old]
