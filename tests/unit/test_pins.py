"""Pinned runs outlive everything that makes room, and say so in their row."""

from __future__ import annotations

import pytest
import torch

from workbench.protocol.compare import Pin
from workbench.protocol.failures import WorkbenchError
from workbench.protocol.messages import GetDiff
from workbench.protocol.runs import RunRow
from workbench.worker.judge import look, pins, records, run
from workbench.worker.judge.pins import pin
from workbench.worker.judge.store import Store

from .run_bench import Sent, bench_with, fire


def test_a_pinned_run_is_kept_while_others_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "ROW_BUDGET", 4)
    monkeypatch.setattr(records, "RECORDS", 2)
    _, runs = bench_with()
    runs.store = Store(memory_budget=250, total_budget=250)  # three outputs of 80 bytes
    fire(runs)
    fire(runs)
    sent = Sent()
    pin(runs, Pin(2), sent.job)
    assert [(row.run, row.pinned) for row in sent.of(RunRow)] == [(2, True)]
    for _ in range(6):
        fire(runs)
    assert {1, 2} <= set(runs.rows)
    assert 3 not in runs.rows
    assert 2 in runs.store
    assert runs.rows[2].record.replayable
    assert runs.diff(GetDiff(8, 2), sent.job).against == 2
    pin(runs, Pin(2, False), sent.job)
    assert not sent.of(RunRow)[-1].pinned
    for _ in range(4):
        fire(runs)
    assert 2 not in runs.rows
    assert 2 not in runs.store


def test_another_reference_lets_no_pinned_run_go() -> None:
    _, runs = bench_with()
    runs.store = Store(memory_budget=250, total_budget=250)
    fire(runs)
    pin(runs, Pin(1), Sent().job)
    fire(runs)
    runs.make_reference(2)
    for _ in range(4):
        fire(runs)
    assert {1, 2} <= {number for number in runs.rows if number in runs.store}


def test_what_is_not_kept_cannot_be_pinned(monkeypatch: pytest.MonkeyPatch) -> None:
    _, runs = bench_with(torch.nn.Linear(10, 5))
    with pytest.raises(WorkbenchError, match="no run 1"):
        pin(runs, Pin(1), Sent().job)
    monkeypatch.setattr(look, "LARGEST_OUTPUT", 10)
    fire(runs)
    with pytest.raises(WorkbenchError, match="too large to be kept"):
        pin(runs, Pin(1), Sent().job)


def test_pins_leave_room_for_what_is_fired_next(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pins, "PINNED", 100)
    _, runs = bench_with()
    fire(runs)
    fire(runs)
    pin(runs, Pin(1), Sent().job)
    pin(runs, Pin(1), Sent().job)  # once more is nothing new
    with pytest.raises(WorkbenchError, match="Pinned runs hold 80 bytes already"):
        pin(runs, Pin(2), Sent().job)
