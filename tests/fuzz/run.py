"""Damages files of every format and gives them to every reader: no hang, no crash, nothing but plain words.

    python -m tests.fuzz [--files N] [--seed S] [--only FORMAT] [--number K]

One number names one damage for ever: `--only zip.pt --number 17` makes that file again. Leaves with 1 when anything
was found.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import select
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parents[2]
HANG = 30.0
"""Seconds of its own processor time without a word after which the reading process is ended."""
LOST = 600.0
"""Seconds by the clock after which it is, too: it waits for something."""
GROWTH = 512 << 10
"""KiB that reading one file may add to the most memory that the process ever had."""


@dataclass
class Outcome:
    """What became of the files."""

    files: int = 0
    found: list[str] = field(default_factory=list)
    """One line each: the file, the reader, what was wrong."""
    by_format: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0
    peak: int = 0
    """KiB that one file made the peak grow by at most."""


class Reading:
    """A process that reads files, started again when a file ends it."""

    def __init__(self, seed: int) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="workbench-fuzz-")
        self._seed = seed
        self.formats: list[str] = []
        self._start()

    def give(self, name: str, number: int) -> tuple[list[str], int]:
        """(what was found, peak memory in KiB; 0 where the process died of it)."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{name} {number}\n".encode())
        self._process.stdin.flush()
        found = []
        while True:
            line = self._line()
            if line is None:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self._process.wait(1.0)
                code = self._process.poll()
                word = "hung" if code is None else f"died ({code})"
                self.close()
                self._start()
                return [*found, f"the process that read it {word}"], 0
            if line.startswith("! "):
                found.append(line[2:])
            elif line.startswith(". "):
                return found, int(line[2:])

    def close(self) -> None:
        self._process.kill()
        self._process.wait()

    def _used(self) -> float:
        """Seconds of processor time: a machine that has no time for the process lets it seem to hang."""
        try:
            times = psutil.Process(self._process.pid).cpu_times()
        except psutil.NoSuchProcess:
            return 0.0
        return float(times.user + times.system)

    def _start(self) -> None:
        self._unread = b""
        command = [sys.executable, "-u", "-m", "tests.fuzz.child", self._folder.name, str(self._seed)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT, bufsize=0)
        first = self._line(4 * HANG)
        if first is None:
            raise RuntimeError("the process that reads the files did not start")
        self.formats = first.split()[1:]

    def _line(self, patience: float = HANG) -> str | None:
        """The next line; None when there is none in time, or no process."""
        assert self._process.stdout is not None
        pipe = self._process.stdout.fileno()
        began, used = time.monotonic(), self._used()
        while b"\n" not in self._unread:  # a buffered reader would hide from select what it has read already
            if not select.select([pipe], [], [], 1.0)[0]:
                if self._used() - used > patience or time.monotonic() - began > LOST:
                    return None
                continue
            chunk = os.read(pipe, 1 << 16)
            if not chunk:
                return None
            self._unread += chunk
        line, _, self._unread = self._unread.partition(b"\n")
        return line.decode("utf-8", "backslashreplace").strip()


def fuzz(files: int, seed: int = 0, only: str = "", number: int | None = None) -> Outcome:
    """Read `files` damaged files, of each format in turn."""
    outcome, began = Outcome(), time.monotonic()
    reading, before = Reading(seed), 0
    try:
        formats = [only] if only else reading.formats
        for place in range(files if number is None else 1):
            name, which = formats[place % len(formats)], number if number is not None else place // len(formats)
            found, peak = reading.give(name, which)
            grown = peak - before if before and peak else 0
            before, outcome.peak = peak, max(outcome.peak, grown)
            if grown > GROWTH:
                found.append(f"reading it took {grown >> 10} MiB")
            outcome.files += 1
            outcome.by_format[name] += 1
            outcome.found += [f"--seed {seed} --only {name} --number {which}: {one}" for one in found]
    finally:
        reading.close()
    outcome.seconds = time.monotonic() - began
    return outcome


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--files", type=int, default=10_000, help="how many damaged files")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", help="this format alone")
    parser.add_argument("--number", type=int, help="this one damage of the format")
    given = parser.parse_args()
    outcome = fuzz(given.files, given.seed, given.only, given.number)
    for line in outcome.found:
        print(line)
    print(", ".join(f"{name} {count}" for name, count in outcome.by_format.items()))
    most = f"at most {outcome.peak >> 10} MiB more for one"
    print(f"{outcome.files} files in {outcome.seconds:.0f} s, {most}; {len(outcome.found)} found")
    sys.exit(bool(outcome.found))
