"""What the bench itself keeps for each row is small, shared, bounded, and told from growth of the model's."""

from __future__ import annotations

import random
import sys

import torch

from tests.unit.run_bench import Sent, bench_with, fire
from workbench.protocol.memory import Leak
from workbench.protocol.messages import FindDivergence, Fire
from workbench.worker.judge import records
from workbench.worker.judge.divergence import find
from workbench.worker.judge.replay import Generators


def test_two_hundred_single_fires_of_a_healthy_model_are_no_leak() -> None:
    for training in (False, True):  # in train mode every run leaves the generator elsewhere
        _, runs = bench_with(training=training)
        sent = Sent()
        for _ in range(200):
            runs.fire(Fire(1), sent.job)
        climbing = [leak.words for leak in sent.of(Leak) if leak.climbing]
        assert climbing == []


def test_equal_states_are_held_once_and_pythons_is_packed() -> None:
    _, runs = bench_with(training=False)
    for _ in range(5):
        fire(runs)
    states = [row.record.generators for row in runs.rows.values()]
    assert len({id(state) for state in states}) == 1
    assert sum(map(sys.getsizeof, states[0].python)) < 4096


def test_a_packed_state_continues_exactly() -> None:
    random.seed(3)
    random.gauss(0, 1)  # leaves the second of a pair behind
    state = Generators.take()
    first = [random.gauss(0, 1), random.random(), float(torch.rand(1))]
    assert set(state.moved(Generators.take())) == {"torch", "random"}
    state.put()
    assert state.moved(Generators.take()) == ()
    assert [random.gauss(0, 1), random.random(), float(torch.rand(1))] == first


def test_what_rows_keep_for_a_replay_is_counted() -> None:
    _, runs = bench_with()
    fire(runs)
    before = runs.own_bytes
    for _ in range(10):
        fire(runs)
    assert runs.own_bytes - before > 10 * 5000  # torch's state alone


def test_only_the_newest_rows_can_be_replayed() -> None:
    _, runs = bench_with()
    for _ in range(records.RECORDS + 10):
        fire(runs)
    held = [row.number for row in runs.rows.values() if row.record.replayable]
    assert held == [1, *range(12, records.RECORDS + 11)]  # and the reference
    found = find(runs.bench, runs, FindDivergence(5, 1), Sent().job)
    assert not found.replayed
    assert "run 5" in found.words
    assert runs.rows[5].report().cause
