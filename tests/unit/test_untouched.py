"""Looking leaves a model exactly as it was, whatever its forward writes into."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch
from torch import nn

from tests.unit import check_faults
from tests.unit.model_state import Greedy, held_by
from tests.unit.run_bench import Sent, bench_with, fire
from workbench.protocol.messages import FindDivergence
from workbench.worker.judge.divergence import find
from workbench.worker.judge.snapshot import untouched_model
from workbench.worker.judge.switches import Switches


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


GRADIENTS: dict[str, Callable[[nn.Parameter], object]] = {
    "written": lambda tensor: tensor.grad.add_(1),  # type: ignore[union-attr]
    "rebound": lambda tensor: setattr(tensor, "grad", torch.full_like(tensor, 9)),
    "dropped": lambda tensor: setattr(tensor, "grad", None),
    "frozen": lambda tensor: tensor.requires_grad_(False),
    "accumulated": lambda tensor: tensor.sum().backward(),
}


@pytest.mark.parametrize(
    ("what", "had"), [(what, True) for what in GRADIENTS] + [(what, False) for what in list(GRADIENTS)[1:]]
)
def test_gradients_and_what_asks_for_them_are_put_back(what: str, had: bool) -> None:
    weight = nn.Parameter(torch.ones(3))
    model = nn.ParameterList([weight])
    gradient = weight.grad = torch.full((3,), 2.0) if had else None
    with untouched_model(model):
        GRADIENTS[what](weight)
    assert weight.grad is gradient
    assert gradient is None or gradient.tolist() == [2.0, 2.0, 2.0]
    assert weight.requires_grad
    assert weight.tolist() == [1.0, 1.0, 1.0]


TOTAL = 0
SEEN: list[int] = []


class Outside(nn.Module):
    """State in the file's variables, in the class, around the class, and in numpy's generators."""

    calls = 0

    def __init__(self) -> None:
        super().__init__()
        self.rng = np.random.default_rng(3)
        self.old = np.random.RandomState(4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        global TOTAL
        TOTAL += 1
        SEEN.append(TOTAL)
        type(self).calls += 1
        return x + self.rng.random() + self.old.normal()


def test_what_a_forward_reaches_outside_of_its_modules_is_named_and_put_back() -> None:
    model, steps = Outside(), 0

    class Around(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            nonlocal steps
            steps += 1
            return x

    whole = nn.Sequential(model, Around())
    answers = []
    for _ in range(2):
        with untouched_model(whole) as snapshot:
            answers.append(whole(torch.zeros(2)))
            moved = dict(snapshot.moved())
        assert (TOTAL, SEEN, Outside.calls, steps) == (0, [], 0, 0)
    assert torch.equal(*answers)
    assert moved == {
        "0.rng": "drawn from",
        "0.old": "drawn from",
        "TOTAL (test_untouched.py)": "0 → 1",
        "SEEN (test_untouched.py)": "0 → 1 items",
        "Outside.calls": "0 → 1",
        "steps (around Around)": "0 → 1",
    }


def test_one_thing_alone_is_put_back() -> None:
    model = Outside()
    with untouched_model(model) as snapshot:
        model(torch.zeros(2))
        snapshot.put_back({"SEEN (test_untouched.py)", "Outside.calls"}.__contains__)
        assert {name for name, _ in snapshot.moved()} == {"rng", "old", "TOTAL (test_untouched.py)"}


FLIPS: dict[str, Callable[[], object]] = {
    "torch.num_threads": lambda: torch.set_num_threads(torch.get_num_threads() + 1),
    "torch.default_dtype": lambda: torch.set_default_dtype(torch.float64),
    "torch.default_device": lambda: torch.set_default_device("cpu"),
    "torch.float32_matmul_precision": lambda: torch.set_float32_matmul_precision("medium"),
    "torch.cuda.matmul.fp32_precision": lambda: setattr(torch.backends.cuda.matmul, "allow_tf32", True),
    "torch.cuda.conv.fp32_precision": lambda: setattr(torch.backends.cudnn, "allow_tf32", False),
    "torch.deterministic_algorithms": lambda: torch.use_deterministic_algorithms(True, warn_only=True),
    "torch.mha.fastpath": lambda: torch.backends.mha.set_fastpath_enabled(False),
    "torch.mkldnn": lambda: torch._C._set_mkldnn_enabled(False),
    "torch.cudnn.benchmark": lambda: setattr(torch.backends.cudnn, "benchmark", True),
    "torch.autocast('cpu')": lambda: torch.set_autocast_enabled("cpu", True),
    "torch.autocast_cache": lambda: torch.set_autocast_cache_enabled(False),
    "torch.anomaly_mode": lambda: torch.set_anomaly_enabled(True, False),
    "torch.math_sdp": lambda: torch.backends.cuda.enable_math_sdp(False),
}


@pytest.mark.parametrize("name", FLIPS)
def test_a_switch_of_torch_that_was_flipped_is_named_and_put_back(name: str) -> None:
    before = Switches()
    with untouched_model(nn.Linear(2, 2)):
        FLIPS[name]()
        assert name in dict(before.moved())
    assert before.moved() == []
    # torch refuses to answer where its older and newer switches contradict each other
    assert torch._C._get_cudnn_allow_tf32() is True
    assert torch.get_float32_matmul_precision() == "highest"


@pytest.mark.parametrize("name", ["NewVariable", "OnTheFunction", "OnAHelper", "OnTheClass"])
def test_what_a_forward_makes_outside_of_the_modules_is_named_and_taken_away(name: str) -> None:
    model = getattr(check_faults, name)()
    x = torch.randn(3, 6)
    with untouched_model(model) as snapshot:
        first = model(x)
        made = [one for one, how in snapshot.moved() if how == "new"]
        torch.testing.assert_close(model(x + 1), model.linear(x + 1) + first - model.linear(x))  # it remembers
        assert len(made) == 1
    with untouched_model(model) as snapshot:
        assert snapshot.moved() == []
        model(x + 1)
        assert [one for one, how in snapshot.moved() if how == "new"] == made
