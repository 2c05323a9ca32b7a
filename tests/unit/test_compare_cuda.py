"""Comparison on a CUDA device, where there is one: the numbers of the CPU, also for what is not finite."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch

from workbench.protocol.runs import LeafDiff
from workbench.worker.judge.compare import compare
from workbench.worker.judge.leaves import flatten

pytestmark = [
    pytest.mark.cuda,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no CUDA device"),
]

SPECIAL = (0.0, -0.0, math.inf, -math.inf, math.nan, -math.nan, 1e-45, -3e38, 1.0, 2.5)


def leaf(a: torch.Tensor, b: torch.Tensor) -> LeafDiff:
    structure, leaves = compare(flatten(a), flatten(b))
    assert structure == ""
    return leaves[0]


def pair(dtype: torch.dtype) -> tuple[torch.Tensor, torch.Tensor]:
    """Every special value against every other, and against itself."""
    values = torch.tensor(SPECIAL, dtype=torch.float64).to(dtype)
    count = len(values)
    return values.repeat_interleave(count).reshape(count, count), values.repeat(count).reshape(count, count)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.complex64])
def test_special_values_have_the_numbers_of_the_cpu(dtype: torch.dtype) -> None:
    a, b = pair(dtype)
    here, there = leaf(a, b), leaf(a.cuda(), b.cuda())
    for field in dataclasses.fields(LeafDiff):
        one, other = getattr(here, field.name), getattr(there, field.name)
        if isinstance(one, float):
            assert other == pytest.approx(one, rel=1e-9, nan_ok=True), field.name
        elif field.name != "worst_index":  # of equal ones, either
            assert other == one, field.name


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_one_nan_is_found_and_the_same_infinity_is_none(dtype: torch.dtype) -> None:
    a = torch.randn(64, 8, dtype=dtype, device="cuda")
    b = a.clone()
    b[3, 5] = -(a.new_zeros(()) / 0.0)
    assert leaf(a, b).mismatched == 1
    masked = a.masked_fill(a > 0, -math.inf)
    assert leaf(masked, masked + 1e-7).mismatched < int((a <= 0).sum()) + 1
    assert leaf(masked, masked.clone()).mismatched == 0
