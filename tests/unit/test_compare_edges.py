"""Differences that stand where arithmetic is about to be wrong: at edges of decades, below the normal, far apart."""

from __future__ import annotations

import math

import pytest
import torch

from workbench.protocol.runs import BEYOND, IDENTICAL
from workbench.worker.judge.compare import compare_leaf

from .test_compare import check_against_oracle, decade

EDGES = [float(f"1e{power}") for power in range(-15, 4)]


def neighbours(dtype: torch.dtype) -> torch.Tensor:
    """For each edge of a decade the two numbers below it, the nearest, and the two above."""
    middle = torch.tensor(EDGES, dtype=torch.float64).to(dtype)
    around = [middle]
    for toward in (-math.inf, math.inf):
        step = middle
        for _ in range(2):
            step = torch.nextafter(step, torch.full_like(step, toward))
            around.append(step)
    return torch.stack(around).flatten()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_histogram_is_exact_at_its_edges(dtype: torch.dtype) -> None:
    b = neighbours(dtype)
    expected = [0] * 21
    for distance in b.tolist():
        expected[decade(distance)] += 1
    assert list(compare_leaf("o", torch.zeros_like(b), b).decades) == expected


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_histogram_is_exact_at_its_edges_between_numbers_of_one_size(dtype: torch.dtype) -> None:
    """Each side within a factor of 2 of the other, where a narrower subtraction is exact."""
    distance = neighbours(dtype)
    a = 3 * distance
    b = a + distance
    check_against_oracle(compare_leaf("o", a, b), a, b)


def test_differences_below_the_normal_are_counted() -> None:
    tiny = 2.0**-149
    a = torch.tensor([tiny * 8, tiny * 9, 1.0, 0.0, -0.0])
    b = torch.tensor([tiny * 9, tiny * 9, 1.0, 0.0, 0.0])
    diff = compare_leaf("o", a, b)
    assert (diff.decades[0], diff.decades[1], diff.mismatched) == (4, 1, 2)
    assert diff.max_abs == tiny
    least = torch.tensor([5e-324, 0.0, 1.0], dtype=torch.float64)
    wide = compare_leaf("o", least, torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64))
    assert (wide.decades[0], wide.decades[1], wide.max_abs) == (2, 1, 5e-324)


@pytest.mark.parametrize("ratio", [1e-8, 1e-3, 0.02, 1.0, 1.5, 70.0, 1e8])
def test_the_cosine_of_sides_of_any_size(ratio: float) -> None:
    generator = torch.Generator().manual_seed(0)
    a = torch.randn(500, generator=generator)
    b = (a + torch.randn(500, generator=generator)) * ratio
    check_against_oracle(compare_leaf("o", a, b), a, b)
    check_against_oracle(compare_leaf("o", a, -b), a, -b)


@pytest.mark.parametrize("sign", [1.0, -1.0])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.complex64])
def test_nan_of_either_sign_is_seen(sign: float, dtype: torch.dtype) -> None:
    nan = math.copysign(math.nan, sign)
    a, b = torch.tensor([1.0, 2.0, 3.0], dtype=dtype), torch.tensor([1.0, nan, 3.0], dtype=dtype)
    for one, other in ((a, b), (b, a)):
        diff = compare_leaf("o", one, other)
        assert (diff.mark, diff.max_abs, diff.worst_index, diff.nan_a + diff.nan_b) == (BEYOND, math.inf, (1,), 1)
        assert not diff.allclose
    same = compare_leaf("o", b, b.clone())
    assert (same.mark, same.nan_a, same.nan_b, same.peak) == (IDENTICAL, 1, 1, 3.0)
    moved = compare_leaf("o", b, b + torch.tensor([0.0, 0.0, 1.0]))
    assert (moved.max_abs, moved.max_rel, moved.reason) == (1.0, pytest.approx(1 / 3), "")


def test_the_same_infinity_beside_small_differences() -> None:
    a = torch.tensor([math.inf, -math.inf, 1.0, 2.0])
    diff = compare_leaf("o", a, a + torch.tensor([0.0, 0.0, 0.25, 0.0]))
    assert (diff.max_abs, diff.max_rel, diff.decades[0], diff.decades[decade(0.25)]) == (0.25, 0.25, 3, 1)


def test_allclose_where_only_the_absolute_or_only_the_relative_tolerance_holds() -> None:
    for a, b in (([1e-9, 1.0], [9e-9, 1.0]), ([1.0, 2.0], [1.0 + 9e-6, 2.0]), ([1.0, 0.0], [1.0 + 9e-6, 1e-9])):
        assert compare_leaf("o", torch.tensor(a), torch.tensor(b)).allclose
    for a, b in (([1e-9, 1.0], [2e-8, 1.0]), ([1.0, 2.0], [1.0 + 2e-5, 2.0]), ([0.0, 1.0], [2e-8, 1.0])):
        assert not compare_leaf("o", torch.tensor(a), torch.tensor(b)).allclose
