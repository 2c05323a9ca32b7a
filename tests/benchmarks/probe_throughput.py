"""What the engine costs a forward: its repeat against a bare loop of the same forwards, in turns.

The engine's time ends with its `Done`; the bare process has a session of its own as the worker has.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Sequence

from workbench.protocol.model import ModeChange, Recipe
from workbench.protocol.requests import Fire, Load

from .child import ROOT, Child
from .engine import Engine
from .face import cores
from .measure import Settings, with_spread
from .table import Row

TURN = 1.5
"""Seconds that one turn of the bare loop takes."""

Case = tuple[str, str, str, tuple[int, ...]]
"""Name, file and class, input, its shape."""

CASES: tuple[Case, ...] = (
    ("small net", "sample_models/story.py:Net", "x=float32[1,10]", (1, 10)),
    ("conv net", "sample_models/cnn.py:Cnn", "x=float32[4,3,32,32]", (4, 3, 32, 32)),
)


def measure(settings: Settings) -> list[Row]:
    spared = max(1, cores() - 1)
    with Engine() as engine:
        return [
            row
            for threads, goal in ((cores(), 0.95), (spared, 0.98))
            for case in CASES
            for row in compare(engine, settings, case, threads, goal)
        ]


def compare(engine: Engine, settings: Settings, case: Case, threads: int, goal: float) -> Sequence[Row]:
    name, target, spec, shape = case
    change = ModeChange(training=False, grad="no_grad", threads=threads)
    engine.ask(Load(Recipe(target, inputs=(spec,), directory=str(ROOT)), change))
    with Child("bare.py", str(ROOT / target), json.dumps([shape]), "no_grad", str(threads), apart=True) as bare:
        bare.ask("loop 20")
        forward = bare.ask("loop 200") / 200
        count = max(20, int(TURN / forward))
        engine.ask(Fire(count))
        turns = [
            (bare.ask(f"loop {count}"), engine.timed(Fire(count)), bare.ask(f"loop {count}"))
            for _ in range(settings.rounds)
        ]
    held = tuple((before + after) / 2 / fired for before, fired, after in turns)
    control = max(abs(after / before - 1) for before, _, after in turns)
    what = f"engine throughput over a bare loop, {name}, {threads} of {cores()} cores"
    note = f"one forward {forward * 1e6:.0f} µs, {count} a turn, A B A in turns, A/A {control:.1%}"
    value = statistics.median(held)
    return [Row("throughput", what, f"≥ {goal}", with_spread(held, "{:.3f}"), value >= goal, note, held)]
