"""A program in a pty: its start, its bytes as they come, its end. Knows nothing of screens and keys.

One thread reads and stamps the output, another hears of the program's end from the pty's shell; the caller takes
chunks when it wants them. Nothing here sleeps or polls.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import select
import struct
import subprocess
import sys
import termios
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path

SHELL = Path(__file__).with_name("shell.py")
UNSET = ("COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR", "COLORFGBG", "TERM_PROGRAM", "TEXTUAL", "PYTHONSTARTUP")
START_TIMEOUT = 20.0
"""Seconds until the pty's shell must have started the program; it takes hundredths on an idle machine."""

Chunk = tuple[float, bytes]
"""When it came (time.perf_counter), and what came."""


def environment(changes: Mapping[str, str] | None = None) -> dict[str, str]:
    """The caller's environment as a fresh terminal with true colour would have it, with `changes`."""
    kept = {name: value for name, value in os.environ.items() if name not in UNSET}
    return {**kept, "TERM": "xterm-256color", "COLORTERM": "truecolor", "LANG": "C.UTF-8", **(changes or {})}


class PtyProcess:
    """A program that runs as the foreground job of a session of its own."""

    def __init__(
        self, command: Sequence[str], rows: int, columns: int, env: Mapping[str, str] | None, directory: Path
    ) -> None:
        """Start it. Raises OSError when the pty's shell does not start; a missing command ends with code 127."""
        self.pid = 0
        self.began = 0.0
        """time.perf_counter just before the program was forked."""
        self.code: int | None = None
        """Exit code, negative for a signal; None while it runs."""
        self._arrived: deque[Chunk] = deque()
        self._news = threading.Condition()
        self._master, self._slave = pty.openpty()
        self._wake_read, self._wake_write = os.pipe()
        self._paused = False
        self._hung_up = False
        self.set_size(rows, columns)
        self._termios = termios.tcgetattr(self._slave)
        report, report_end = os.pipe()
        control, self._control = os.pipe()
        self._shell = subprocess.Popen(
            [sys.executable, "-I", "-S", str(SHELL), str(report_end), str(control), *command],
            stdin=self._slave, stdout=self._slave, stderr=self._slave, pass_fds=(report_end, control),
            start_new_session=True, cwd=directory, env=environment(env),
        )  # fmt: skip
        os.close(report_end)
        os.close(control)
        self._reader = threading.Thread(target=self._read_output, name="pty-output", daemon=True)
        self._reporter = threading.Thread(target=self._read_report, args=(report,), name="pty-report", daemon=True)
        self._reader.start()
        self._reporter.start()
        with self._news:
            if not self._news.wait_for(lambda: self.pid, START_TIMEOUT):
                raise OSError(f"the pty's shell did not start {command[0]}")

    def take(self, deadline: float) -> Chunk | None:
        """The next chunk, waiting for it until `deadline` (time.monotonic).

        None when none came, and as soon as the program has ended and all that it wrote was taken.
        """
        with self._news:
            while not self._arrived:
                wait = deadline - time.monotonic()
                if wait <= 0 or (self.code is not None and self._drained()):
                    return None
                self._news.wait(wait)
            return self._arrived.popleft()

    def write(self, data: bytes) -> None:
        """What a keyboard sends."""
        os.write(self._master, data)

    def set_size(self, rows: int, columns: int) -> None:
        """Set the window's size; the foreground job gets SIGWINCH when it changed."""
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def same_discipline(self) -> bool:
        """The line discipline (echo, canonical mode, signal keys …) is what it was before the program began."""
        return termios.tcgetattr(self._slave) == self._termios

    def pause(self, on: bool) -> None:
        """Stop reading, as a stalled connection does, so that the program's output backs up; or go on."""
        self._paused = on
        os.write(self._wake_write, b"p")

    def hang_up(self) -> None:
        """Close the terminal, as a lost connection does; the program gets SIGHUP and its writes fail."""
        os.write(self._wake_write, b"x")
        self._reader.join()
        os.close(self._master)
        os.close(self._slave)
        self._hung_up = True

    def close(self) -> None:
        """Give everything back; the program must have ended, or is ended by the hang-up."""
        if not self._hung_up:
            self.hang_up()
        os.close(self._control)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._shell.wait(5)
        if self._shell.poll() is None:
            self._shell.kill()
            self._shell.wait()
        self._reporter.join(5)
        os.close(self._wake_read)
        os.close(self._wake_write)

    def _drained(self) -> bool:
        """Nothing is on its way any more; the condition's lock is held, so no chunk is in the reader's hands."""
        return self._hung_up or not select.select([self._master], [], [], 0)[0]

    def _read_output(self) -> None:
        while True:
            ready, _, _ = select.select([self._wake_read, *([] if self._paused else [self._master])], [], [])
            if self._wake_read in ready:
                if os.read(self._wake_read, 1) == b"x":
                    return
                continue
            with self._news:
                try:
                    data = os.read(self._master, 65536)
                except OSError:
                    return  # every program has closed it
                self._arrived.append((time.perf_counter(), data))
                self._news.notify_all()

    def _read_report(self, report: int) -> None:
        with os.fdopen(report) as lines:
            for line in lines:
                word, *rest = line.split()
                with self._news:
                    if word == "began":
                        self.pid, self.began = int(rest[0]), float(rest[1])
                    else:
                        self.code = int(rest[0])
                    self._news.notify_all()
