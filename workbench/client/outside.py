"""What a person brings to a verdict, as it is typed: --runner and --metric. Never read from a file."""

from __future__ import annotations

import os
import re
import shlex
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
    if found["relation"] is None:
        return Metric(path, found["function"])
    try:
        limit = float(found["limit"])
    except ValueError:
        limit = float("nan")
    if limit != limit:
        raise error("usage", f"--metric {text}: {found['limit']} is no number.", "--metric")
    return Metric(path, found["function"], found["relation"], limit)


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
