"""Every way out: signals, a crash, a loop that no longer turns. The terminal is restored and no process is left.

Owns exit codes of endings and the last resort; it asks the app to end and never draws.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import termios
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

from workbench.protocol.exits import Exit

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

PATIENCE = 8
"""Seconds an ordinary ending may take, engine included, after a signal; then the last resort."""

RESTORE = (
    "\x1b[?1049l"  # the ordinary screen
    "\x1b[?1000l\x1b[?1003l\x1b[?1015l\x1b[?1006l\x1b[?1016l"  # mouse; 1016: pixel positions
    "\x1b[?1004l\x1b[?2004l\x1b[?2048l"  # focus, bracketed paste, resize reports
    "\x1b[<u"  # keyboard protocol
    "\x1b[?2026l\x1b[?7h\x1b[0m\x1b[?25h"  # updates shown, lines wrapped, plain, cursor
)
"""What a terminal is told after the last frame; harmless where it was restored already."""


class Ending:
    """Watches over one app. Use `guard` around its run."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.process = process
        self.leave: Callable[[int], None] | None = None
        """Set by the app: end in the ordinary way, with this exit code. Called from a signal handler."""
        self._before = _terminal_attributes()

    @contextlib.contextmanager
    def guard(self) -> Iterator[None]:
        """Signals end the app in the ordinary way; whatever happens, the terminal and the engine are cared for."""
        kept = {number: signal.signal(number, self._on_signal) for number in SIGNALS}
        kept[signal.SIGALRM] = signal.signal(signal.SIGALRM, self._last_resort)
        try:
            yield
        finally:
            for number in SIGNALS:
                signal.signal(number, signal.SIG_IGN)  # a second one must not interrupt the tidying
            end_process(self.process)
            signal.alarm(0)
            self.restore()
            for number, handler in kept.items():
                signal.signal(number, handler)

    def restore(self) -> None:
        """The terminal as it was before the app."""
        for stream in (sys.__stderr__, sys.__stdout__):
            with contextlib.suppress(OSError, ValueError, AttributeError):
                if stream is not None and stream.isatty():
                    os.write(stream.fileno(), RESTORE.encode("ascii"))
                    break
        if self._before is not None:
            with contextlib.suppress(termios.error, OSError, ValueError):
                termios.tcsetattr(sys.__stdin__.fileno(), termios.TCSANOW, self._before)  # type: ignore[union-attr]

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        signal.alarm(PATIENCE)
        if self.leave is None:
            raise KeyboardInterrupt
        self.leave(Exit.INTERRUPTED)

    def _last_resort(self, number: int, frame: FrameType | None) -> None:
        """The loop does not turn: no more asking."""
        kill_group(self.process)
        self.restore()
        os._exit(Exit.INTERRUPTED)


def end_process(process: subprocess.Popen[bytes], seconds: float = 3.0) -> None:
    """End a supervisor that nobody talks to any more: the end of its stdin ends it, else its group is killed."""
    if process.poll() is not None:
        return
    for pipe in (process.stdin, process.stdout, process.stderr):
        with contextlib.suppress(OSError, ValueError):
            if pipe is not None:
                pipe.close()
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        kill_group(process)


def kill_group(process: subprocess.Popen[bytes]) -> None:
    """SIGKILL for the supervisor and whatever is in its group; its workers end with their stdin."""
    if process.poll() is None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _terminal_attributes() -> list[Any] | None:
    try:
        return termios.tcgetattr(sys.__stdin__.fileno())  # type: ignore[union-attr]
    except (termios.error, OSError, ValueError, AttributeError):
        return None
