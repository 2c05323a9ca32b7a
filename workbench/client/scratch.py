"""Private files of a session that another process reads once: each has a name of its own and goes with its use."""

from __future__ import annotations

import contextlib
import itertools
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from workbench.protocol.failures import error


class Scratch:
    """A private directory, made when the first file is wanted."""

    def __init__(self) -> None:
        self._directory = ""
        self._numbers = itertools.count(1)

    @contextlib.contextmanager
    def file(self) -> Iterator[Path]:
        """A path that nobody else has, for what is written inside. Raises `WorkbenchError("write")`."""
        try:
            self._directory = self._directory or tempfile.mkdtemp(prefix="workbench-")
        except OSError as problem:
            words = f"Could not make a directory for the state: {problem.strerror or problem}."
            remedy = "Free some space there, or set TMPDIR."
            raise error("write", words, str(problem.filename or tempfile.gettempdir()), remedy) from problem
        path = Path(self._directory) / f"state-{next(self._numbers)}.pt"
        try:
            yield path
        finally:
            path.unlink(missing_ok=True)

    def remove(self) -> None:
        """All of it, at the end."""
        if self._directory:
            shutil.rmtree(self._directory, ignore_errors=True)
