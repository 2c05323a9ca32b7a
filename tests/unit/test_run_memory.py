"""Memory while firing: kept outputs, the leak in words, stopping before it runs out."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from tests.unit.run_bench import Sent, bench_with, fire
from workbench.protocol.failures import WorkbenchError
from workbench.protocol.memory import Leak
from workbench.protocol.messages import Fire
from workbench.worker.judge import firing


def test_kept_outputs_climb_under_grad_stay_flat_under_no_grad_and_are_given_back() -> None:
    model = nn.Sequential(nn.Linear(64, 4096), nn.ReLU(), nn.Linear(4096, 4096), nn.ReLU(), nn.Linear(4096, 1))
    bench, runs = bench_with(model, torch.randn(128, 64), training=False, keep_outputs=True)
    fire(runs)
    sent = Sent()
    row = runs.fire(Fire(20), sent.job)
    assert len(runs.kept) == 21
    climbing = sent.of(Leak)[-1]
    assert climbing.climbing
    assert climbing.kept_outputs == 21
    for slope in (climbing.slope, row.growth):  # the allocator leaves holes between what is kept, so it may be more
        assert 0.75 * row.saved_bytes < slope < 2 * row.saved_bytes
    assert "no_grad does" in climbing.words
    bench.switch(keep_outputs=False)
    runs.settle(Sent().job)
    assert runs.kept == []
    bench.switch(keep_outputs=True, grad="no_grad")
    sent = Sent()
    runs.fire(Fire(20), sent.job)
    flat = sent.of(Leak)[-1]
    assert not flat.climbing
    assert flat.words.endswith("under no_grad the 20 kept outputs are 512 bytes each.")


def test_every_forward_is_in_the_series_however_seldom_it_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(firing, "REPORT", 1 << 62)
    monkeypatch.setattr(firing, "BLOCK", 100_000)
    _, runs = bench_with(keep_outputs=True, grad="no_grad")
    counted: list[int] = []
    monkeypatch.setattr(runs, "remember", lambda forwards, held: counted.append(forwards))
    fired = sum(fire(runs, 500).count for _ in range(3))
    assert sum(counted) == fired == len(runs.kept) == 1500
    assert len(counted) < 100  # it was measured seldom


def test_kept_outputs_stop_before_memory_runs_out() -> None:
    _, runs = bench_with(keep_outputs=True)
    fire(runs, 3)
    runs.reserve = 2.0  # as if less than the reserve were left
    with pytest.raises(WorkbenchError) as failure:
        fire(runs, 3)
    assert failure.value.failure.kind == "memory"
    assert "3 outputs are kept" in failure.value.failure.message
    assert len(runs.kept) == 3
    assert runs.rows.keys() == {1}


def test_a_leak_of_the_models_own_is_told_from_kept_outputs() -> None:
    class Hoards(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.past: list[torch.Tensor] = []

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            self.past.append(torch.ones(1 << 20))
            return x

    _, runs = bench_with(Hoards(), grad="no_grad")
    sent = Sent()
    runs.fire(Fire(20), sent.job)
    said = sent.of(Leak)[-1]
    assert said.climbing
    assert said.slope == pytest.approx(4 << 20, rel=0.2)
    assert "though every output is dropped" in said.words
