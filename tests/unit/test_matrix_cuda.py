"""The mode matrix and the memory account on a CUDA device, where there is one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from workbench.protocol.matrix import MEASURED, Cell, MeasureMatrix
from workbench.protocol.memory import AccountMemory, MeasureCounterfactual
from workbench.protocol.model import Modes, Recipe
from workbench.worker.judge import memory
from workbench.worker.judge.account import DRIVER, REST, account
from workbench.worker.judge.counterfactual import counterfactual
from workbench.worker.judge.matrix import measure_matrix

from .run_bench import Sent, bench_with, fire
from .test_account import Wide

pytestmark = [
    pytest.mark.cuda,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no CUDA device"),
]

MODELS = Path(__file__).with_name("matrix_models.py")
BIG = Recipe(f"{MODELS}:Big", inputs=("x=float32[4096,10]",))
ACTIVATION = 4096 * 1024 * 4


def test_cells_have_the_allocators_peak_and_wait_for_the_device():
    request = MeasureMatrix(BIG, Modes(device="cuda:0"), compile=False, rounds=10, dtypes=("bfloat16",))
    matrix = measure_matrix(request, Sent().job)
    assert matrix.device == "cuda:0"
    assert all(one.status == MEASURED for one in matrix.cells)
    by_cell = {one.cell: one for one in matrix.cells}
    frugal, grad = by_cell[Cell(False, "no_grad")], by_cell[Cell(False, "grad")]
    assert 2 * ACTIVATION <= frugal.peak_bytes < 2.2 * ACTIVATION
    assert 2 * ACTIVATION <= grad.peak_bytes < 2.2 * ACTIVATION
    assert grad.saved_bytes == pytest.approx(2 * ACTIVATION, rel=0.02)
    assert by_cell[Cell(False, "no_grad", "bfloat16")].peak_bytes < 0.6 * frugal.peak_bytes
    assert all(one.ratio > 0 for one in matrix.cells)


def test_reserved_memory_is_told_in_parts_with_the_graphs():
    before = memory.Before.take()
    bench, runs = bench_with(Wide().cuda(), torch.randn(2048, 16, device="cuda"), keep_outputs=True, device="cuda:0")
    fire(runs, 5)
    found = account(bench, runs, before, AccountMemory(), Sent().job)  # type: ignore[arg-type]
    cpu, gpu = found.devices
    assert gpu.device == "cuda:0"
    assert sum(part.bytes for part in gpu.parts) == gpu.total
    assert gpu.total <= torch.cuda.memory_reserved(0)  # the forward with hooks came after it was counted
    sizes: dict[str, Any] = {part.name: part.bytes for part in gpu.parts}
    activation = 2048 * 1024 * 4
    assert sizes["saved for backward"] == pytest.approx(5 * activation, rel=0.02)
    assert 0 <= sizes[REST] < activation + (32 << 20)  # cuBLAS has a workspace
    assert gpu.peak >= 5 * activation
    assert sum(part.bytes for part in cpu.parts) == cpu.total
    assert cpu.parts[-1].name == DRIVER


def test_the_counterfactual_is_counted_by_the_allocator():
    request = MeasureCounterfactual(BIG, Modes(training=False, device="cuda:0", keep_outputs=True), runs=6)
    found = counterfactual(request, Sent().job)
    assert found.device == "cuda:0"
    assert found.present.slope == pytest.approx(2 * ACTIVATION, rel=0.02)
    assert found.other.slope < ACTIVATION / 50
    assert found.present.peak > 6 * 2 * ACTIVATION


@pytest.mark.slow
def test_compiled_cells_on_the_device():
    matrix = measure_matrix(MeasureMatrix(BIG, Modes(device="cuda:0"), rounds=10), Sent().job)
    compiled = [one for one in matrix.cells if one.cell.compiled]
    assert [one.status for one in compiled] == [MEASURED] * 6, [one.reason for one in compiled]
    assert all(one.mark in ("identical", "noise") for one in compiled)
