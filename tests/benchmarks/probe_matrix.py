"""The mode matrix: how long the whole of it takes over the forwards that it timed, and what it makes of equals."""

from __future__ import annotations

import statistics

from workbench.protocol.matrix import MEASURED, Matrix, MeasureMatrix
from workbench.protocol.messages import Load
from workbench.protocol.model import Modes, Recipe

from .child import ROOT
from .engine import Engine
from .measure import Settings
from .table import Row

ROUNDS, ROUNDS_FULL = 30, 200
TWIN = (False, "inference_mode")


def measure(settings: Settings) -> list[Row]:
    recipe = Recipe(f"{ROOT / 'sample_models' / 'cnn.py'}:Cnn", directory=str(ROOT))
    rounds = ROUNDS_FULL if settings.full else ROUNDS
    found: list[Matrix] = []
    with Engine() as engine:
        engine.ask(Load(recipe))
        for _ in range(max(1, settings.rounds // 2)):
            found.append(engine.ask(MeasureMatrix(recipe, Modes(), compile=False, rounds=rounds)))
    overheads = tuple(one.seconds / one.forward_seconds for one in found if one.forward_seconds)
    # eval under no_grad and under inference_mode runs the same kernels on the same values
    twins = [
        cell for one in found for cell in one.cells if not cell.cell.training and cell.cell.grad == "inference_mode"
    ]
    told_apart = sum(not cell.same_speed for cell in twins)
    measured = all(cell.status == MEASURED for one in found for cell in one.cells)
    last = found[-1]
    note = (
        f"{len(last.cells)} cells in {rounds} rounds: {last.seconds:.1f} s with a worker's start, noise and looks, "
        f"of which {last.forward_seconds:.1f} s in forwards that were timed; A/A {last.control_low:.2f} to "
        f"{last.control_high:.2f}"
    )
    return [
        Row("matrix", "mode matrix, seconds over those of its timed forwards", "-",
            f"{statistics.median(overheads):.1f}", measured or False, note, overheads),
        Row("matrix", "no_grad and inference_mode told apart by speed", "-", f"{told_apart} of {len(twins)}", None,
            "identical kernels; a gain of inference_mode on small models is real"),
    ]  # fmt: skip
