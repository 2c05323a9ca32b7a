"""Looking leaves a model exactly as it was, whatever its forward writes into."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import nn

from tests.unit.model_state import Greedy, held_by
from tests.unit.run_bench import Sent, bench_with, fire
from workbench.protocol.messages import FindDivergence
from workbench.worker.judge.divergence import find
from workbench.worker.judge.snapshot import untouched_model


@pytest.fixture(autouse=True)
def switches_of_the_process() -> Iterator[None]:
    yield
    torch.use_deterministic_algorithms(False)
    torch.backends.mha.set_fastpath_enabled(True)


def test_a_search_for_the_divergence_leaves_every_value() -> None:
    bench, runs = bench_with(Greedy(), torch.randn(3, 6))
    fire(runs)
    fire(runs)
    torch.use_deterministic_algorithms(False)
    torch.backends.mha.set_fastpath_enabled(True)
    before = held_by(bench.model)
    find(bench, runs, FindDivergence(2, 1), Sent().job)  # type: ignore[arg-type]
    assert held_by(bench.model) == before


def test_a_snapshot_puts_every_value_back_and_names_what_grew() -> None:
    model = Greedy()
    before = held_by(model)
    lists = model.nested["lists"]
    with untouched_model(model) as snapshot:
        model(torch.randn(3, 6))
        assert held_by(model) != before
        grown = {name: (old, new) for name, _, old, new in snapshot.grown()}
    assert held_by(model) == before
    assert grown == {"seen": (2, 3), "nested['lists'][0]": (1, 2), "counter.trail[0]": (1, 2)}
    assert model.nested["lists"] is lists
    assert snapshot.lost == []


def test_what_refers_to_itself_and_what_is_endless_is_followed_in_bounds() -> None:
    ring: list[object] = []
    ring.append(ring)
    many = [[number] for number in range(50_000)]
    model = nn.Linear(2, 2)
    vars(model).update(ring=ring, many=many)
    with untouched_model(model):
        ring.append(1)
        many[0].append(1)
        many.clear()
    assert ring == [ring]
    assert (len(many), many[0]) == (50_000, [0])
