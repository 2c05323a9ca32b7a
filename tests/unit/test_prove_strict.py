"""The strictest rule wins: what a comparison has settled, and cases that no pool can hold, still refuse an artifact."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch

from tests.unit.artifact_bench import eager, failed, make, replaced, row
from workbench.protocol.runs import BEYOND, IDENTICAL, INCOMPARABLE, NOISE, LeafDiff, LeafNoise, Yardstick
from workbench.worker.judge.cases import LeafVerdict, Measured, judge_leaves
from workbench.worker.judge.compare import compare_leaf, relative_error

INF = math.inf
FLOAT64 = Yardstick("float64", {"output": LeafNoise(1e-7, 1e-7, 2.0**-23, 16)})


def case(index: int, mine: torch.Tensor, other: torch.Tensor, exact: torch.Tensor | None) -> Measured:
    errors = None
    if exact is not None:
        errors = {"output": (relative_error(mine, exact, mine), relative_error(other, exact, mine))}
    return Measured(index, 2, leaves=(compare_leaf("output", mine, other),), errors=errors)


def healthy(count: int = 16) -> list[Measured]:
    """Cases in which eager and the artifact round differently."""
    found = []
    for index in range(count):
        exact = torch.randn(40, dtype=torch.float64, generator=torch.Generator().manual_seed(index))
        mine = exact.float()
        found.append(case(index, mine, torch.nextafter(mine, torch.tensor(INF)), exact))
    return found


def verdict(*more: Measured) -> LeafVerdict:
    return judge_leaves([*healthy(), *more], FLOAT64)[0]


def test_an_infinity_of_the_other_sign_is_refused(tmp_path: Path) -> None:
    made = make(tmp_path, "Masked", "trace")

    class Flipped(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.where(x < 0, float("inf"), eager("Masked")(x))

    proof = replaced(tmp_path, made, torch.jit.trace(Flipped(), torch.ones(4, 5), check_trace=False))
    assert {"nonfinite", "values"} <= failed(proof)
    assert proof.mark == BEYOND
    assert "infinite" in row(proof, "nonfinite").evidence


def test_the_pool_by_itself_holds() -> None:
    found = verdict()
    assert (found.mark, found.yardstick) == (NOISE, "float64")


@pytest.mark.parametrize("made", [[1.0, INF], [1.0, math.nan], [1.0, 3.0]])
def test_what_is_not_finite_has_no_error_only_when_it_is_the_same(made: list[float]) -> None:
    mine, other = torch.tensor([1.0, -INF]), torch.tensor(made)
    for exact in (mine.double(), torch.tensor([1.0, 2.0], dtype=torch.float64)):
        assert relative_error(mine, exact, mine) == (0.0, 0.0)
        assert relative_error(other, exact, mine) == (INF, INF)
        assert verdict(case(16, mine, other, exact)).mark == BEYOND


def test_where_float64_alone_is_not_finite_eager_itself_is_the_measure() -> None:
    mine, exact = torch.tensor([1.0, 2.0]), torch.tensor([1.0, INF], dtype=torch.float64)
    assert relative_error(mine, exact, mine) == (0.0, 0.0)
    wrong = case(16, mine, torch.tensor([1.0, 900.0]), exact)
    assert verdict(wrong).mark == BEYOND


def test_a_case_whose_float64_answer_is_zero_is_judged_beside_the_others() -> None:
    exact, mine = torch.zeros(40, dtype=torch.float64), torch.full((40,), 1e-8)
    assert relative_error(mine, exact, mine)[0] == INF
    assert verdict(case(16, mine, mine * 2, exact)).mark == NOISE
    found = verdict(case(16, mine, mine + 1e-3, exact))
    assert (found.mark, found.case) == (BEYOND, 16)


def test_a_case_without_a_float64_answer_is_judged_beside_the_others() -> None:
    mine = torch.randn(40)
    assert verdict(case(16, mine, mine * (1 + 2.0**-23), None)).mark == NOISE
    found = verdict(case(16, mine, mine + 1e-3, None))
    assert (found.mark, found.case) == (BEYOND, 16)


def test_what_compare_has_settled_stands() -> None:
    one = healthy(1)[0]
    for mark, reason in ((BEYOND, "NaN or infinity at 1 place"), (INCOMPARABLE, "a quantised tensor")):
        diff = LeafDiff("output", mark, reason, "float32", (40,), 40, noise_multiple=INF)
        for errors in (None, one.errors):
            found = verdict(Measured(16, 2, leaves=(diff,), errors=errors))
            assert found.mark == mark
            assert found.worst.reason == reason


def test_identical_bits_need_no_measure() -> None:
    mine = torch.full((40,), 1e-8)
    same = case(0, mine, mine, torch.zeros(40, dtype=torch.float64))
    assert judge_leaves([same], FLOAT64)[0].mark == IDENTICAL
