"""Every way in which the app can end: the terminal restored, and no process left."""

from __future__ import annotations

import signal
from collections.abc import Callable
from operator import methodcaller

from tests.end_to_end.terminal import Terminal, assert_all_gone

from .face import STORY, opened, worker_of
from .measure import Settings
from .table import Row


def crash_worker(terminal: Terminal) -> None:
    """The worker dies first; then the person leaves."""
    worker_of(terminal).send_signal(signal.SIGSEGV)
    terminal.watch(1.0)
    terminal.send("q")


def fire_and_end(terminal: Terminal) -> None:
    """The end comes while the model runs."""
    terminal.send("R")
    terminal.watch(0.5)
    terminal.signal(signal.SIGTERM)


ENDINGS: dict[str, Callable[[Terminal], object]] = {
    "q": methodcaller("send", "q"),
    "Ctrl+C": methodcaller("send", "ctrl+c", "ctrl+c"),
    "SIGTERM": methodcaller("signal", signal.SIGTERM),
    "SIGHUP": methodcaller("signal", signal.SIGHUP),
    "SIGTERM while it fires": fire_and_end,
    "a crash of the worker": crash_worker,
}
WITHOUT_TERMINAL: dict[str, Callable[[Terminal], object]] = {
    "a lost connection": methodcaller("hang_up"),
    "kill -9 of the app": methodcaller("signal", signal.SIGKILL),
}
"""Endings after which nobody is there to restore the terminal; the processes must go all the same."""


def measure(settings: Settings) -> list[Row]:
    failures: list[str] = []
    for name, end in {**ENDINGS, **WITHOUT_TERMINAL}.items():
        with opened(settings, *STORY) as terminal:
            family = terminal.family()
            try:
                end(terminal)
                terminal.wait_exit(timeout=15)
                if name in ENDINGS:
                    terminal.assert_restored()
                assert_all_gone(family, timeout=15)
            except AssertionError as problem:
                failures.append(f"{name}: {str(problem).splitlines()[0]}")
    ways = len(ENDINGS) + len(WITHOUT_TERMINAL)
    return [
        Row(
            "ending", "terminal restored, no process left", "at every ending", f"{ways - len(failures)} of {ways}",
            not failures, "; ".join(failures) or ", ".join((*ENDINGS, *WITHOUT_TERMINAL)),
        )
    ]  # fmt: skip
