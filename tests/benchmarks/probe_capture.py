"""What `workbench.capture` costs the program that it records: while it has too few calls, while it waits, and after.

Beside that, how long a single call is held up, and the end, of models that hold much.
"""

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


A_WAIT = 0.25
"""Seconds that a single call may be held up."""
HELD: tuple[Case, ...] = (
    CASES[0],
    CASES[1],
    ("399 modules", "tests/benchmarks/heavy.py:Layers", "", (1, 64)),
    ("a state of 60 MB", "tests/benchmarks/heavy.py:State", "", (1, 64)),
    ("a state of 240 MB", "tests/benchmarks/heavy.py:LargerState", "", (1, 64)),
    ("a plain tensor of 200 MB", "tests/benchmarks/heavy.py:Tensor", "", (1, 64)),
    ("an array of 40 MB", "tests/benchmarks/heavy.py:Array", "", (1, 64)),
    ("a list of 500,000 texts", "tests/benchmarks/heavy.py:Texts", "", (1, 64)),
)
"""What the model holds, and the model."""


def measure(settings: Settings) -> list[Row]:
    rows = [row for case in CASES for row in compare(settings, case)]
    return rows + [longest(settings, case) for case in HELD]


def longest(settings: Settings, case: Case) -> Row:
    """The call that recording holds up most, the first of a process, and of each later recording; the end beside it."""
    name, target, _, shape = case
    folder = settings.folder / f"longest-{name.replace(' ', '-')}"
    folder.mkdir()
    bare, held, ends = [], [], []
    with Child("captured.py", str(ROOT / target), json.dumps([shape]), str(folder), apart=True) as child:
        child.ask("loop 50")
        for _ in range(settings.rounds + 1):
            bare.append(child.ask("longest 64"))
            child.ask("watch 1")
            held.append(child.ask("longest 64"))
            ends.append(child.ask("close"))
    first, *later = held
    return Row(
        "capture",
        f"longest single call while it is recorded, {name}",
        f"≤ {A_WAIT * 1e3:g} ms",
        with_spread([one * 1e3 for one in later], "{:.1f}") + " ms",
        statistics.median(later) <= A_WAIT,
        f"bare {statistics.median(bare) * 1e3:.2f} ms, the first in its process {first * 1e3:.0f} ms, "
        f"close {statistics.median(ends):.2f} s",
        tuple(later),
    )


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
