"""A real terminal for tests: a program in a pty, its screen, its keys, its end, and what it left behind.

Owns the waiting: the emulator is fed while somebody waits, chunk by chunk, so every wait ends with the very chunk
that made it true and knows when that came. A wait is on what is shown, so never inside a synchronized update.
"""

from __future__ import annotations

import contextlib
import os
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import psutil

from . import keys
from .pseudo import PtyProcess
from .screen import SYNCHRONIZED, Emulator

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 20.0
"""Seconds a wait lasts by default; long because test machines are shared, free when the screen comes sooner."""

Wanted = str | re.Pattern[str]
"""A text that stands on the screen as it is, or a pattern to search for."""


class NotSeen(AssertionError):
    """What a wait was for did not come; the message holds the screen."""


class Terminal:
    """One program in one terminal. A context manager: leaving it ends the program and everything it started."""

    def __init__(
        self,
        command: Sequence[str],
        rows: int = 40,
        columns: int = 120,
        env: Mapping[str, str] | None = None,
        directory: Path = ROOT,
        supports: frozenset[int] = frozenset({SYNCHRONIZED}),
    ) -> None:
        """Start `command`; `env` is added to the environment, `supports` are the private modes the terminal admits."""
        self.chunks: list[tuple[float, int]] = []
        """Arrival (time.perf_counter) and size of every piece of output that was looked at."""
        self.raw = bytearray()
        """All those bytes."""
        self._process = PtyProcess(command, rows, columns, env, directory)
        self.emulator = Emulator(rows, columns, self._process.write, supports)
        self._family: set[psutil.Process] = set()
        self._closed = False

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def began(self) -> float:
        """time.perf_counter just before the program was forked."""
        return self._process.began

    @property
    def code(self) -> int | None:
        """Exit code, negative for a signal; None while it runs."""
        return self._process.code

    @property
    def text(self) -> str:
        """The screen as text, with all that has arrived."""
        self.pump()
        return self.emulator.text

    @property
    def cursor(self) -> tuple[int, int, bool]:
        """Row and column from 0, and whether it is shown."""
        self.pump()
        return self.emulator.cursor

    # what a person does

    def send(self, *names: str) -> float:
        """Press keys by name ("ctrl+p", "down", "x"). Returns the moment of the last one (time.perf_counter)."""
        self.pump()
        at = time.perf_counter()
        for name in names:
            at = time.perf_counter()
            self._process.write(keys.encode(name))
        return at

    def burst(self, *names: str) -> None:
        """Press keys faster than the program can read them: all in one write, as a slow connection delivers them."""
        self.pump()
        self._process.write(b"".join(map(keys.encode, names)))

    def type(self, text: str) -> None:
        """Type text, one key a character; a newline is the enter key."""
        self.send(*("enter" if character == "\n" else character for character in text))

    def paste(self, text: str) -> None:
        self.pump()
        self._process.write(keys.paste(text, 2004 in self.emulator.modes))

    def click(self, row: int, column: int) -> None:
        """Click on a cell, counted from 0; the program must have asked for the mouse."""
        self._process.write(keys.click(row, column))

    def click_on(self, text: str) -> None:
        """Click on the first place where `text` stands."""
        for row, line in enumerate(self.text.split("\n")):
            if text in line:
                return self.click(row, line.index(text))
        raise NotSeen(self._picture(f"there is no {text!r} to click on"))

    def resize(self, rows: int, columns: int) -> None:
        self.pump()
        self.emulator.resize(rows, columns)
        self._process.set_size(rows, columns)

    def signal(self, number: int) -> None:
        """Send a signal to the program itself."""
        self.family()
        os.kill(self.pid, number)

    def hang_up(self) -> None:
        """Close the terminal, as a lost connection does; the program gets SIGHUP and its writes fail."""
        self.family()
        self._process.hang_up()

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """Read nothing meanwhile, as a stalled connection does: the program's output backs up."""
        self._process.pause(True)
        try:
            yield
        finally:
            self._process.pause(False)

    # waiting

    def wait_until(self, holds: Callable[[], object], what: str, timeout: float = PATIENCE) -> float:
        """Wait until `holds()` is true of what is shown; returns when its last bytes came. Raises `NotSeen`."""
        deadline = time.monotonic() + timeout
        self.pump()
        while self.emulator.in_frame or not holds():
            if not self._take(deadline):
                raise NotSeen(self._picture(f"{what} within {timeout:g} s"))
        return self.chunks[-1][0] if self.chunks else time.perf_counter()

    def wait_for(self, wanted: Wanted, timeout: float = PATIENCE) -> float:
        """Wait until it stands on the screen. Returns the moment it came (time.perf_counter)."""
        return self.wait_until(lambda: self.shows(wanted), f"waited for {wanted!r}", timeout)

    def wait_gone(self, unwanted: Wanted, timeout: float = PATIENCE) -> float:
        """Wait until it is not on the screen any more. Returns the moment it went (time.perf_counter)."""
        return self.wait_until(lambda: not self.shows(unwanted), f"waited for {unwanted!r} to go", timeout)

    def wait_quiet(self, seconds: float, timeout: float = PATIENCE) -> None:
        """Wait until nothing has come for so long. Raises `NotSeen` when it never rests."""
        deadline = time.monotonic() + timeout
        while self._take(time.monotonic() + seconds):
            if time.monotonic() > deadline:
                raise NotSeen(self._picture(f"waited {timeout:g} s for {seconds:g} s of quiet"))

    def wait_exit(self, timeout: float = PATIENCE) -> int:
        """Wait for the program's end; returns its exit code, negative for a signal. Raises `NotSeen`."""
        deadline = time.monotonic() + timeout
        self.family()
        while self._take(deadline):
            pass
        if self.code is None:
            raise NotSeen(self._picture(f"waited {timeout:g} s for its end"))
        return self.code

    def watch(self, seconds: float) -> int:
        """Look on for so long; returns how many bytes came."""
        self.pump()
        before, deadline = len(self.raw), time.monotonic() + seconds
        while self._take(deadline):
            pass
        return len(self.raw) - before

    def pump(self) -> None:
        """Feed the emulator with everything that has arrived."""
        while self._take(0.0):
            pass

    def shows(self, wanted: Wanted) -> bool:
        """It stands on the screen, as far as that was fed; does not wait."""
        text = self.emulator.text
        return wanted in text if isinstance(wanted, str) else wanted.search(text) is not None

    # what it left behind

    def family(self) -> list[psutil.Process]:
        """The program and all its descendants now; they are remembered, and ended with the terminal."""
        with contextlib.suppress(psutil.NoSuchProcess):
            program = psutil.Process(self.pid)
            self._family.update((program, *program.children(recursive=True)))
        return [process for process in self._family if alive(process)]

    def assert_restored(self) -> None:
        """After the end: the terminal is as it was, in every mode that programs change, and in its line discipline."""
        assert self.code is not None, "the program still runs"
        left = self.emulator.left_over()
        if not self._process.same_discipline():
            left.append("line discipline (termios) changed")
        assert not left, self._picture("the terminal was not restored: " + "; ".join(left))

    def close(self) -> None:
        """End the program and what it started, by force where needed, and give everything back. Twice is once."""
        if self._closed:
            return
        self._closed = True
        for process in self.family():
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        self._process.close()

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _take(self, deadline: float) -> bool:
        """Feed one chunk, waiting for it until `deadline` (time.monotonic); False when none came."""
        chunk = self._process.take(deadline)
        if chunk is None:
            return False
        at, data = chunk
        self.chunks.append((at, len(data)))
        self.raw += data
        self.emulator.feed(data)
        return True

    def _picture(self, words: str) -> str:
        state = "still running" if self.code is None else f"ended with {self.code}"
        edge = "─" * self.emulator.columns
        lines = [line.rstrip() for line in self.emulator.text.split("\n")]
        return "\n".join([f"{words} ({state})", edge, *lines, edge])


def alive(process: psutil.Process) -> bool:
    """It runs, and is not merely waiting to be reaped."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def assert_all_gone(family: Sequence[psutil.Process], timeout: float = PATIENCE) -> None:
    """Every process that `Terminal.family` recorded before the end is gone, or goes within `timeout` seconds."""
    psutil.wait_procs(family, timeout=timeout)
    left = [f"{process.pid} {' '.join(process.cmdline())}" for process in family if alive(process)]
    assert not left, "processes left behind:\n" + "\n".join(left)
