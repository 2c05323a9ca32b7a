"""What `workbench.capture` costs the program that it records: while it has too few calls, while it waits, and after."""

from __future__ import annotations

import json
import statistics

from .child import ROOT, Child
from .measure import Settings, with_spread
from .probe_throughput import CASES, Case
from .table import Row

TURN = 1.5
"""Seconds that one turn takes; of so short a program, recording is a larger share than of a long one."""
SAMPLES = 32
RECORDING, AFTERWARDS = 1.05, 1.02
"""Times as long as without: what nobody notices."""
A_CALL = 5e-6
"""Seconds that a call may cost more while it is watched and not recorded."""


def measure(settings: Settings) -> list[Row]:
    return [row for case in CASES for row in compare(settings, case)]


def compare(settings: Settings, case: Case) -> list[Row]:
    name, target, _, shape = case
    folder = settings.folder / name.replace(" ", "-")
    folder.mkdir()
    recording, after, a_call, control = [], [], [], []
    with Child("captured.py", str(ROOT / target), json.dumps([shape]), str(folder), apart=True) as child:
        child.ask("loop 50")
        forward = child.ask("loop 200") / 200
        count = max(20, int(TURN / forward))
        loop = f"loop {count}"
        child.ask("watch 1")  # a first recording imports what the others have
        child.ask(loop)
        child.ask("close")
        for _ in range(settings.rounds):
            before = child.ask(loop)
            child.ask("watch 1")
            recorded = child.ask(loop)
            if child.ask("samples") != SAMPLES:
                raise RuntimeError(f"{count} calls gave {child.ask('samples'):.0f} samples, not {SAMPLES}")
            full = child.ask(loop)
            child.ask("close")
            child.ask(f"watch {10**9}")
            watched = child.ask(loop)
            child.ask("close")
            again = child.ask(loop)
            bare = (before + again) / 2
            recording.append(recorded / bare)
            after.append(full / bare)
            a_call.append((watched - bare) / count)
            control.append(abs(again / before - 1))
    doubt = statistics.median(control)
    note = f"one forward {forward * 1e6:.0f} µs, {count} calls a turn, A/A {doubt:.1%}"

    def row(what: str, goal: str, measured: str, holds: bool, samples: list[float]) -> Row:
        return Row("capture", f"{what}, {name}", goal, measured, holds, note, tuple(samples))

    return [
        row(
            f"program of {TURN:g} s of forwards, {SAMPLES} of them recorded, over the bare one",
            f"≤ {RECORDING} or A/A",
            with_spread(recording, "{:.3f}"),
            statistics.median(recording) <= max(RECORDING, 1 + doubt),
            recording,
        ),
        row(
            "the same once it has its samples",
            f"≤ {AFTERWARDS} or A/A",
            with_spread(after, "{:.3f}"),
            statistics.median(after) <= max(AFTERWARDS, 1 + doubt),
            after,
        ),
        row(
            "a call that is watched and not recorded, more than a bare one",
            f"≤ {A_CALL * 1e6:g} µs or A/A",
            with_spread([one * 1e6 for one in a_call], "{:.2f}") + " µs",
            statistics.median(a_call) <= max(A_CALL, doubt * forward),
            a_call,
        ),
    ]
