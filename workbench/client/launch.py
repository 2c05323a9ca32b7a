"""Starts the engine. The cheapest imports of all: the face calls this before it imports anything heavy.

Owns the command line of the supervisor and nothing else; talking to it is the transport's work.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence

from workbench.protocol.codec import Envelope, encode
from workbench.protocol.failures import error
from workbench.protocol.start import Start

START_JOB = 1
"""Number of the `Start` request that `launch` sends when it is asked to warm up a bench."""


def engine_command() -> list[str]:
    """The command that starts a supervisor on this machine."""
    return [sys.executable, "-P", "-m", "workbench.supervisor"]


def launch(
    command: Sequence[str] = (), bench: bool = False, python: str = "", attended: bool = False
) -> subprocess.Popen[bytes]:
    """Start the supervisor; with `bench`, also ask it at once for a bench worker, as job `START_JOB`.

    `command` replaces the local engine's command; `python` is the interpreter of the bench worker, empty for
    this one; `attended`: somebody can answer a `breakpoint()`. Raises `WorkbenchError("engine")` when the command
    cannot be started.
    """
    arguments = list(command) or engine_command()
    environment = dict(os.environ, PYTHONUNBUFFERED="1")
    try:
        process = subprocess.Popen(
            arguments,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            env=environment,
            start_new_session=True,  # Ctrl+C in the terminal is the face's to answer
        )
    except OSError as problem:
        reason = problem.strerror or str(problem)
        raise error("engine", f"The engine could not be started: {reason}.", arguments[0]) from problem
    if bench:
        assert process.stdin is not None
        process.stdin.write(encode(Envelope(Start(python=python, attended=attended), START_JOB, "face")))
    return process
