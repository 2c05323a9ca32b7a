"""Child processes of probes: a script that answers lines, or one that is timed from its start to its end."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]


class Child:
    """A Python script that says "ready" and then answers each line with a number. A context manager."""

    def __init__(self, script: str, *arguments: str, apart: bool = False) -> None:
        """Start a script of this folder and wait until it is ready.

        `apart`: in a session of its own, as a worker is, so that the system shares its time out alike.
        """
        self._process = subprocess.Popen(
            [sys.executable, str(HERE / script), *arguments],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1, cwd=ROOT,
            start_new_session=apart,
        )  # fmt: skip
        assert self._answer() == "ready"

    def ask(self, line: str) -> float:
        assert self._process.stdin is not None
        self._process.stdin.write(line + "\n")
        return float(self._answer())

    def __enter__(self) -> Child:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate()

    def _answer(self) -> str:
        assert self._process.stdout is not None
        answer = self._process.stdout.readline().strip()
        if not answer:
            raise RuntimeError(f"the child ended with {self._process.wait(10)}")
        return answer


def timed_run(command: Sequence[str]) -> float:
    """Seconds from the start of a command to its end. Raises when it fails."""
    began = time.perf_counter()
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    return time.perf_counter() - began
