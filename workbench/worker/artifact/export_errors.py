"""Why torch.export could not do what was wanted, in words, at the user's own line.

Owns the reading of its errors and of the guards that its shape environment logs while the user's code runs.
"""

from __future__ import annotations

import contextlib
import importlib
import linecache
import logging
import os
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from workbench.protocol.failures import WorkbenchError, error
from workbench.worker.bench.failing import first_line, frames, full_text, is_users

SHAPES = "torch.fx.experimental.symbolic_shapes"
"""The logger that says which guard was added, at the moment when the user's line asked for it."""


@dataclass(frozen=True)
class Guard:
    """A condition on sizes that one line of the model's code asked for."""

    expression: str
    place: str
    """file:line, the file without its folders."""
    source: str

    @property
    def words(self) -> str:
        return f"{self.place}: {self.source}" if self.source else self.place


class Guards(logging.Handler):
    """Collects guards with the user's line that is on the stack while each is logged, and what symbols stand for."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.found: list[Guard] = []
        self.sources: dict[str, str] = {}
        """Symbol of a size → where it comes from: "L['x'].size()[0]"."""

    def emit(self, record: logging.LogRecord) -> None:
        message = record.getMessage()
        made = _SYMBOL.match(message)
        if made is not None:
            self.sources[made[1]] = made[2]
        match = _GUARD.match(message)
        if match is None:
            return
        frame = sys._getframe()
        while frame is not None and not is_users(frame.f_code.co_filename):
            frame = frame.f_back  # type: ignore[assignment]
        if frame is not None:
            self.found.append(Guard(match[1], *place_of(frame.f_code.co_filename, frame.f_lineno)))


_GUARD = re.compile(r"eval (?!\[guard suppressed\])(.+?) \[guard added\]")
_SYMBOL = re.compile(r"create_symbol (\w+) = \S+ for (.+?) \[")


@contextlib.contextmanager
def watched_guards() -> Iterator[Guards]:
    """Inside, every guard that an export adds for a line of the user's is collected; nothing of it is printed."""
    logger = logging.getLogger(SHAPES)
    collector = Guards()
    before = logger.handlers, logger.level, logger.propagate, logger.disabled
    # logging.config of the user's code disables every logger that is there already
    logger.handlers, logger.propagate, logger.disabled = [collector], False, False
    logger.setLevel(logging.INFO)
    try:
        yield collector
    finally:
        logger.handlers, level, logger.propagate, logger.disabled = before
        logger.setLevel(level)


@contextlib.contextmanager
def graph_unprinted() -> Iterator[None]:
    """torch.export prints the whole graph that it had when it failed. Inside it does not: it is in the details."""
    exporter: Any = importlib.import_module("torch.export._trace")  # at its first use, as torch does: it wants numpy
    exporter.print = lambda *_, **__: None  # found before the built-in one, and by this module alone
    try:
        yield
    finally:
        del exporter.print


def depends_on_data(problem: BaseException) -> bool:
    """A branch or a size that depends on values: no other dynamic shapes would help."""
    return "DataDependent" in type(problem).__name__ or "data-dependent" in str(problem)


def violates_constraints(problem: BaseException) -> bool:
    """A dimension that was to be dynamic and that the model's code restricts."""
    return "Constraints violated" in str(problem) or type(problem).__name__ == "ConstraintViolationError"


def why_not_free(problem: BaseException) -> str:
    """What took all freedom where no line is known: torch's own first sentence about it."""
    lines = [line.strip(" -") for line in str(problem).splitlines() if line.strip().startswith("- ")]
    return (lines[0] if lines else first_line(problem))[:300]


def unexportable(problem: BaseException, lines: Sequence[str] = ()) -> WorkbenchError:
    """The failure for whatever torch.export raised, at the innermost line of the user's; `lines`: all obstacles."""
    users = [(frame.f_code.co_filename, line) for frame, line in frames(problem) if is_users(frame.f_code.co_filename)]
    place, source = place_of(*users[-1]) if users else ("", "")
    where = f"{users[-1][0]}:{users[-1][1]}" if users else ""
    quoted = f" at {place}: `{source}`" if source else ""
    if depends_on_data(problem):
        many = f" It is one of {len(lines)} such lines." if len(lines) > 1 else ""
        message = f"torch.export cannot follow a branch or size that depends on the data{quoted}.{many}"
        remedy = "Write it with torch.where or torch.cond, or ship it with --to weights."
    elif "Trying to flatten user inputs" in str(problem):
        message = f"The example inputs do not fit forward: {first_line(problem)}."
        remedy = "Name each input as forward does: --input 'x=float32[4,…]'."
    elif "Calling eval() is not supported" in str(problem):
        message = "The model is an exported program already."
        remedy = "Verify it instead: workbench verify FILE --against MODEL."
    else:
        message = f"torch.export cannot follow the model{quoted}: {first_line(problem)}."
        remedy = "Mend the line, or try another kind: --to trace, --to weights."
    graph = getattr(problem, "partial_fx_graph", None)
    details = full_text(problem) + (f"\nWhat was exported before it:\n{graph}" if graph is not None else "")
    return error("export", message.replace("..", "."), where, remedy, details, "\n".join(lines))


def place_of(filename: str, line: int) -> tuple[str, str]:
    """(file:line without folders, the line itself)."""
    return f"{os.path.basename(filename)}:{line}", linecache.getline(filename, line).strip()
