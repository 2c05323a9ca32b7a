"""The app in a real terminal, as probes want it: opened on a model, ready, and looked at by region."""

from __future__ import annotations

import os
import re
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import psutil

from tests.end_to_end.terminal import ROOT, Terminal

from .measure import Settings

READY = re.compile(r"[●*] ready")
PANES = ("1 model", "2 runs", "3 diff", "4 memory", "5 artifacts")
STORY = ("sample_models/story.py:Net", "--weights", "sample_models/story.safetensors")
CNN = ("sample_models/cnn.py:Cnn", "--weights", "sample_models/cnn.safetensors")

Region = tuple[int, int, int, int]
"""Top, left, bottom, right; half open, from 0."""


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "workbench", *arguments]


def started(settings: Settings, *arguments: str, rows: int = 40, columns: int = 120) -> Terminal:
    """The app, just started, with a home directory of its own."""
    home = str(settings.folder)
    environment = {
        "HOME": home, "XDG_STATE_HOME": home, "XDG_CONFIG_HOME": home, "PYTHONPATH": str(ROOT),
        # An installed program has its bytecode; without it every start compiles every module.
        "PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": str(settings.folder / "bytecode"),
    }  # fmt: skip
    return Terminal(command(*arguments), rows=rows, columns=columns, env=environment)


@contextmanager
def opened(settings: Settings, *arguments: str, rows: int = 40, columns: int = 120) -> Iterator[Terminal]:
    """The app with its model on the bench and everything quiet."""
    with started(settings, *arguments, rows=rows, columns=columns) as terminal:
        terminal.wait_for(PANES[0])
        terminal.wait_for(READY, timeout=90)
        terminal.wait_quiet(0.5)
        yield terminal


def worker_of(terminal: Terminal) -> psutil.Process:
    """The bench worker below the app."""
    for process in terminal.family():
        if "boot.py" in " ".join(process.cmdline()):
            return process
    raise LookupError("the app has no worker")


def region_of(terminal: Terminal, title: str) -> Region:
    """The inside of the pane whose border bears `title`, found by its frame."""
    lines = terminal.text.split("\n")
    for top, line in enumerate(lines):
        at = line.find(title)
        if at < 0:
            continue
        left = max(line.rfind(corner, 0, at) for corner in "┌┏+")
        right = min(found for corner in "┐┓+" if (found := line.find(corner, at)) > 0)
        bottom = next(row for row in range(top + 1, len(lines)) if lines[row][left] not in "│┃|")
        return top + 1, left + 1, bottom, right
    raise LookupError(f"there is no pane {title!r} on the screen")


def cells(terminal: Terminal, region: Region) -> list[tuple[object, ...]]:
    """What a region shows, colours and all, as far as it was fed to the emulator."""
    top, left, bottom, right = region
    buffer = terminal.emulator.screen.buffer
    return [tuple(buffer[row][column] for column in range(left, right)) for row in range(top, bottom)]


def key_latency(terminal: Terminal, keys: tuple[str, ...], region: Region, count: int, pause: float) -> list[float]:
    """Seconds from each key to the change that it makes in a region that only keys change."""
    samples: list[float] = []
    for index in range(count):
        terminal.watch(pause * (0.5 + (index * 0.618) % 1))  # not in step with anything that repeats
        before = cells(terminal, region)
        pressed = terminal.send(keys[index % len(keys)])
        samples.append(terminal.wait_until(lambda: cells(terminal, region) != before, "the key's effect") - pressed)  # noqa: B023
    return samples


def cpu_share(process: psutil.Process, terminal: Terminal, seconds: float) -> float:
    """Share of one core that a process used while the terminal was looked at for so long."""
    before, began = process.cpu_times(), time.perf_counter()
    terminal.watch(seconds)
    after = process.cpu_times()
    used = after.user + after.system - before.user - before.system
    return float(used / (time.perf_counter() - began))


def cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)
