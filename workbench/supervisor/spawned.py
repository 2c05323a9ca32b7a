"""An operating-system process in a session and group of its own, watched until it ends. Knows no protocol."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import threading
from collections.abc import Callable, Sequence
from typing import IO, cast

from workbench.protocol.failures import error

from . import host
from .death import INTERPRETER


class Spawned:
    """Starts `command` at once; calls `on_exit` in the event loop when the process itself has ended.

    Raises `WorkbenchError("engine")` when it cannot be started. Must be made on the main thread of a running loop.
    """

    def __init__(self, command: Sequence[str], cwd: str | None, on_exit: Callable[[], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._on_exit = on_exit
        try:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                bufsize=0,
                cwd=cwd,
                start_new_session=True,
            )
        except (OSError, ValueError) as problem:
            reason = getattr(problem, "strerror", None) or str(problem)
            raise error(
                "engine",
                f"Could not start a worker with {command[0]}: {reason}.",
                where=command[0],
                remedy=INTERPRETER,
            ) from problem
        self.pid = self._process.pid
        host.settle(self.pid)
        self.stdin, self.stdout, self.stderr = (
            cast(IO[bytes], pipe) for pipe in (self._process.stdin, self._process.stdout, self._process.stderr)
        )
        threading.Thread(target=self._watch, name=f"watch {self.pid}", daemon=True).start()

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the process alone."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(self.pid, number)

    def kill_group(self) -> None:
        """SIGKILL for everything in its group, whether the process itself still runs or not (until `bury`)."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)

    def bury(self) -> int:
        """Its exit status, negative for a signal; after `on_exit`."""
        return self._process.wait()

    def _watch(self) -> None:
        """In a thread: the end of the process, which the end of its pipes neither implies nor is implied by."""
        if hasattr(os, "waitid"):
            os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT)  # unburied, the number of its group stays its own
        else:
            self._process.wait()
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody wants to know any more
            self._loop.call_soon_threadsafe(self._on_exit)
