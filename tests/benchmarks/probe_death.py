"""A worker is killed under the app: how soon the app says so, and how soon a fresh one has the same model."""

from __future__ import annotations

import re
import statistics
import sys
import time

from .child import timed_run
from .face import READY, STORY, opened, worker_of
from .measure import Settings, ms_with_spread, ratios, with_spread
from .table import Row

SHOWN, SLOWER = 0.5, 1.1
DEATH = re.compile(r"worker died")
BARE = """
import os, sys
sys.path.insert(0, "sample_models")
import torch, story
torch.manual_seed(0)
model = story.Net()
os._exit(0)
"""


def measure(settings: Settings) -> list[Row]:
    shown, fresh, bare = [], [], []
    with opened(settings, *STORY) as terminal:
        terminal.send("space")
        terminal.wait_quiet(0.5)
        for _ in range(settings.rounds):
            terminal.wait_gone(DEATH)
            killed = time.perf_counter()
            worker_of(terminal).kill()
            shown.append(terminal.wait_for(DEATH) - killed)
            terminal.wait_quiet(0.3)
            pressed = terminal.send("K")
            fresh.append(terminal.wait_for(READY, timeout=60) - pressed)
            terminal.wait_quiet(0.5)
            bare.append(timed_run([sys.executable, "-c", BARE]))
    slower = ratios(fresh, bare)
    note = f"fresh {ms_with_spread(fresh)}; a bare process that imports torch and builds it {ms_with_spread(bare)}"
    return [
        Row(
            "death", "engine death shown", f"≤ {SHOWN * 1000:.0f} ms", ms_with_spread(shown), max(shown) <= SHOWN,
            "kill -9 of the worker, from the signal to the screen", tuple(shown),
        ),
        Row(
            "death", "a fresh worker ready with the same model, over torch import + load", f"≤ {SLOWER}",
            with_spread(slower), statistics.median(slower) <= SLOWER, note, slower,
        ),
    ]  # fmt: skip
