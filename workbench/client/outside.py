"""What a person brings to a verdict, as it is typed: --runner and --metric. Never read from a file.

The file of a metric is read as text, to find its function before a proof begins; it runs in a worker alone.
"""

from __future__ import annotations

import ast
import os
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

from workbench.protocol.failures import error
from workbench.protocol.outside import INPUTS, OUTPUTS, Metric, Runner

_METRIC = re.compile(
    r"(?P<path>.+\.py):(?P<function>[^\W\d]\w*)\s*(?:(?P<relation><=|>=)\s*(?P<limit>\S+))?", re.DOTALL
)

METRIC_HELP = "Your own number: 'file.py:function', with a limit 'file.py:function<=0.01' (or >=). May be repeated."


def parse_metrics(texts: tuple[str, ...]) -> tuple[Metric, ...]:
    """Raises `WorkbenchError("usage")`."""
    return tuple(_metric(text) for text in texts)


def _metric(text: str) -> Metric:
    found = _METRIC.fullmatch(text.strip())
    if found is None:
        words = f"--metric {text}: it is a Python file, a function in it, and perhaps a limit."
        raise error("usage", words, "--metric", "--metric 'metrics.py:top1_agreement>=0.99', in quotes for the shell")
    path = str(Path(found["path"]).expanduser().absolute())
    if not os.path.isfile(path):
        raise error("usage", f"--metric {text}: there is no file {found['path']}.", "--metric")
    _require_function(path, found["path"], found["function"])
    if found["relation"] is None:
        return Metric(path, found["function"])
    try:
        limit = float(found["limit"])
    except ValueError:
        limit = float("nan")
    if limit != limit:
        raise error("usage", f"--metric {text}: {found['limit']} is no number.", "--metric")
    return Metric(path, found["function"], found["relation"], limit)


def _require_function(path: str, shown: str, name: str) -> None:
    """Raises `WorkbenchError("usage")` for a file that is no Python, or has nothing of this name at its top level."""
    try:
        tree = ast.parse(Path(path).read_bytes(), shown)
    except (OSError, SyntaxError, ValueError, RecursionError, MemoryError) as problem:
        line = f", line {problem.lineno}" if isinstance(problem, SyntaxError) and problem.lineno else ""
        words = f"--metric: {shown} cannot be read as Python{line}: {problem.args[0] if problem.args else problem}."
        raise error("usage", words, "--metric", "Mend the file.") from problem
    names = set(_names(tree))
    if name not in names and not names & _ANYTHING:
        known = sorted(one.name for one in tree.body if isinstance(one, (ast.FunctionDef, ast.AsyncFunctionDef)))
        has = f"it has {', '.join(known[:8])}" if known else "it has no function"
        raise error("usage", f"--metric: {shown} has no function {name}: {has}.", "--metric", "Name one that it has.")


_ANYTHING = {"*", "globals", "exec", "setattr", "__getattr__"}
"""With these in it, what a file will have is not known before it runs."""


def _names(tree: ast.Module) -> Iterator[str]:
    """Every name that a file binds or uses, wherever: one that is not among them is nowhere in it."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            yield node.id
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            yield node.name
        elif isinstance(node, ast.alias):
            yield (node.asname or node.name).partition(".")[0]


def parse_runner(command: str, shell: bool, timeout: float) -> Runner:
    """Raises `WorkbenchError("usage")`."""
    example = "--runner 'python run.py {inputs} {outputs}'"
    absent = [place for place in (INPUTS, OUTPUTS) if place not in command]
    if absent:
        words = f"--runner has no {' and no '.join(absent)}: the command is told where to read and where to write."
        raise error("usage", words, "--runner", example)
    if not shell:
        try:
            shlex.split(command)
        except ValueError as problem:
            remedy = "Mend the quotes, or let a shell read it: --runner-shell."
            raise error("usage", f"--runner cannot be split into words: {problem}.", "--runner", remedy) from problem
    return Runner(command, os.getcwd(), shell, timeout)
