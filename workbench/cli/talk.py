"""Everything the command line says: results on stdout, talk and errors on stderr, exit codes from one enum."""

from __future__ import annotations

import json
import os
import sys
import time
from typing import Any

from workbench.protocol.exits import Exit, exit_for
from workbench.protocol.failures import Failure
from workbench.protocol.messages import Progress
from workbench.protocol.text import clean, clean_line, escaped_json
from workbench.report.numbers import clock
from workbench.report.objects import failure_object

DIFFERENCE_LINES = 40
"""Lines of a complete difference that are shown without --traceback."""


def say(text: str) -> None:
    """A line of talk on stderr."""
    sys.stderr.write(clean(text) + "\n")


def print_json(value: dict[str, Any]) -> None:
    """One JSON object on stdout."""
    sys.stdout.write(escaped_json(json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False)) + "\n")
    sys.stdout.flush()


def fail(failure: Failure, as_json: bool, traceback: bool) -> Exit:
    """Say what went wrong, and return the code to leave with."""
    if as_json:
        print_json(failure_object(failure))
        return exit_for(failure.kind)
    say(f"error: {failure.message}")
    if failure.where:
        say(f"  where: {failure.where}")
    if failure.remedy:
        say(f"  try:   {failure.remedy}")
    lines = failure.difference.splitlines()
    shown = lines if traceback else lines[:DIFFERENCE_LINES]
    for line in shown:
        say(f"  {line}")
    if len(shown) < len(lines):
        say(f"  … {len(lines) - len(shown)} more lines with --traceback")
    if failure.details and traceback:
        say("\n".join(f"  {line}" for line in failure.details.splitlines()))
    elif failure.details:
        say("  (--traceback shows the rest)")
    return exit_for(failure.kind)


class ProgressLine:
    """One line on a terminal's stderr that says what goes on and for how long; nothing where stderr is no terminal."""

    def __init__(self, enabled: bool = True) -> None:
        self._on = enabled and sys.stderr.isatty() and os.environ.get("TERM") != "dumb"
        self._shown = False
        self._began = time.monotonic()
        self._phase = ""
        self._about = ""

    def about(self, words: str) -> None:
        """Say `words` before every phase from now on."""
        self._about = words

    def show(self, progress: Progress) -> None:
        """Draw the state of a job."""
        share = f" {progress.done:.0f}/{progress.total:.0f}" if progress.total else ""
        self.phase(f"{progress.phase}{share}")

    def phase(self, words: str) -> None:
        """Draw `words` with the time since the line began."""
        self._phase = words
        self.tick()

    def tick(self) -> None:
        """Draw the clock again."""
        if self._on and self._phase:
            sys.stderr.write(
                f"\r\x1b[2K{clock(time.monotonic() - self._began)}  {clean_line(self._about + self._phase)[:100]}"
            )
            sys.stderr.flush()
            self._shown = True

    def clear(self) -> None:
        """Take the line away before something else is printed."""
        if self._shown:
            sys.stderr.write("\r\x1b[2K")
            sys.stderr.flush()
            self._shown = False
