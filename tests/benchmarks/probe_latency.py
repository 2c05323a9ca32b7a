"""The latency that a run reports, against torch.utils.benchmark on the same model, and that against itself."""

from __future__ import annotations

import json
import statistics

from workbench.protocol.model import ModeChange, Recipe
from workbench.protocol.requests import Fire, Load
from workbench.protocol.runs import RunRow

from .child import ROOT, Child
from .engine import Engine
from .measure import Settings
from .probe_throughput import CASES, Case
from .table import Row

ALLOWED = 0.03


def measure(settings: Settings) -> list[Row]:
    with Engine() as engine:
        return [compare(engine, settings, case) for case in CASES]


def compare(engine: Engine, settings: Settings, case: Case) -> Row:
    name, target, spec, shape = case
    change = ModeChange(training=False, grad="no_grad", threads=1)
    engine.ask(Load(Recipe(target, inputs=(spec,), directory=str(ROOT)), change))
    errors, control, reported = [], [], []
    with Child("bare.py", str(ROOT / target), json.dumps([shape]), "no_grad", "1", apart=True) as bare:
        forward = bare.ask("timer")
        count = max(20, int(1.0 / forward))
        engine.ask(Fire(count))
        for _ in range(settings.rounds):
            before = bare.ask("timer")
            row = engine.ask(Fire(count))
            assert isinstance(row, RunRow)
            after = bare.ask("timer")
            reported.append(row.latency.median)
            errors.append(row.latency.median / ((before + after) / 2) - 1)
            control.append(abs(after / before - 1))
    error, doubt = statistics.median(errors), max(control)
    return Row(
        "latency", f"reported latency against torch.utils.benchmark, {name}", "within 3 % or the A/A spread",
        f"{error:+.1%} (A/A {doubt:.1%})", abs(error) <= max(ALLOWED, doubt),
        f"median forward {statistics.median(reported) * 1e6:.1f} µs, one thread", tuple(errors),
    )  # fmt: skip
