"""A mode matrix as a face may get it."""

from __future__ import annotations

from dataclasses import replace

from workbench.protocol.matrix import CRASHED, MEASURED, RAISED, SKIPPED, WAITING, Cell, Matrix, MatrixCell
from workbench.protocol.runs import Spread


def matrix(done: int = 99) -> Matrix:
    """Six eager cells of a model with dropout, two compiled ones and three that were not measured; `done` are known."""
    spread = Spread(600, 9.8e-3, 1.1e-2, 1.3e-2, 9.1e-3, 2e-4, 102.0)
    eager = MatrixCell(Cell(False, "no_grad"), "float32", MEASURED, True, latency=spread, rounds=60, ratio=1.0,
                       same_speed=True, peak_bytes=12 << 20)  # fmt: skip
    same = replace(eager, baseline=False, mark="identical", ratio=1.02, ratio_low=0.98, ratio_high=1.05)
    randomly = replace(same, words="random: not comparable", mark="", cause="drop (Dropout) in train mode", ratio=0.8,
                       same_speed=False, mutated=("buffer stem.1.running_mean", "buffer stem.1.var"))  # fmt: skip
    near = replace(same, mark="noise", noise_multiple=0.4, max_abs=1e-6, ratio=1.3, same_speed=False, ratio_low=1.2,
                   ratio_high=1.4, compile_seconds=41.0, graphs=1)  # fmt: skip
    cells = [
        eager,
        replace(same, cell=Cell(False, "inference_mode")),
        replace(same, cell=Cell(False, "grad"), saved_bytes=44 << 20),
        replace(randomly, cell=Cell(True, "no_grad")),
        replace(randomly, cell=Cell(True, "inference_mode")),
        replace(randomly, cell=Cell(True, "grad"), saved_bytes=44 << 20),
        replace(near, cell=Cell(False, "no_grad", "", True)),
        MatrixCell(Cell(False, "inference_mode", "", True), "float32", RAISED, reason="torch.compile: SomeError: no"),
        MatrixCell(Cell(False, "grad", "", True), "float32", CRASHED, reason="the worker died of it: aborted"),
        MatrixCell(Cell(True, "grad", "", True), "float32", SKIPPED, reason="not tried", remedy="Give it more time."),
    ]
    cells = [one if place < done else MatrixCell(one.cell, one.dtype, WAITING) for place, one in enumerate(cells)]
    words = "eval · inference_mode · float32 · eager: identical bits, 1.02×, which is no difference here."
    return Matrix(tuple(cells), "cpu", 2, 4, yardstick="float64", control_low=0.97, control_high=1.05, rounds=60,
                  pick=1 if done > 1 else -1, words=words if done > 1 else "", ended="done" if done > 9 else "",
                  seconds=75.0)  # fmt: skip
