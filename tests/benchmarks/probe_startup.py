"""From the command to the splash, to the app's first frame, to all panes; torch loads meanwhile."""

from __future__ import annotations

import statistics
import sys

from tests.end_to_end.terminal import Terminal

from .face import PANES, STORY, started
from .measure import Settings, ms_with_spread
from .table import Row

EMPTY = """
from textual.app import App
from textual.widgets import Static

class Empty(App):
    def compose(self):
        yield Static("\\n".join("an empty app" for _ in range(12)))

Empty().run()
"""
"""The least that an app of this library costs on this machine, beside which the first frame can be read."""

GOALS = {"splash": 0.030, "first frame": 0.250, "all panes": 0.400}


def measure(settings: Settings) -> list[Row]:
    seen: dict[str, list[float]] = {name: [] for name in GOALS}
    bare: list[float] = []
    empty: list[float] = []
    for _ in range(max(7, settings.rounds)):
        with started(settings, *STORY) as terminal:
            began = terminal.began
            seen["splash"].append(terminal.wait_for("workbench") - began)
            seen["first frame"].append(terminal.wait_until(lambda: drawn(terminal), "a first frame") - began)
            seen["all panes"].append(
                terminal.wait_until(lambda: all(terminal.shows(pane) for pane in PANES), "all panes") - began
            )
        with Terminal([sys.executable, "-c", "print('up')"]) as python:
            bare.append(python.wait_for("up") - python.began)
        with Terminal([sys.executable, "-c", EMPTY], rows=40, columns=120) as least:
            empty.append(least.wait_until(lambda: drawn(least), "an empty app") - least.began)
    notes = {
        "splash": f"time zero is the fork of the command; a bare Python prints its first word after "
        f"{ms_with_spread(bare)}",
        "first frame": f"an empty Textual app shows its own after {ms_with_spread(empty)}",
    }
    return [
        Row(
            "startup", f"start: {name}", f"≤ {goal * 1000:g} ms", ms_with_spread(seen[name]),
            statistics.median(seen[name]) <= goal, notes.get(name, ""), tuple(seen[name]),
        )
        for name, goal in GOALS.items()
    ]  # fmt: skip


def drawn(terminal: Terminal) -> bool:
    """Something other than the splash is shown: the app's own drawing has lines all over the screen."""
    return sum(1 for line in terminal.emulator.text.split("\n") if line.strip()) > 5
