"""One output against the reference: the row says what its multiple counts."""

from __future__ import annotations

import pytest
import torch

from workbench.protocol.runs import LeafNoise, Yardstick
from workbench.worker.judge.leaves import flatten
from workbench.worker.judge.rows import judge_output

MEASURED = Yardstick("float64", {"output": LeafNoise(1e-6, 4e-6, 2.0**-23, 16)})


@pytest.mark.parametrize(
    ("yardstick", "dtype", "used"),
    [
        (MEASURED, torch.float32, "float64"),
        (MEASURED, torch.bfloat16, "tolerance"),  # its noise was measured in another dtype
        (Yardstick("float64"), torch.float32, "tolerance"),
        (Yardstick("tolerance", reason="it downcasts"), torch.float32, "tolerance"),
        (Yardstick("given", tolerance=0.1), torch.float32, "given"),
    ],
)
def test_a_row_says_which_yardstick_was_really_used(yardstick: Yardstick, dtype: torch.dtype, used: str) -> None:
    a = torch.randn(8, 4, generator=torch.Generator().manual_seed(1)).to(dtype)
    judged = judge_output(flatten(a), flatten(a + 0.01), yardstick)
    assert judged.differs
    assert judged.yardstick == used
    assert judge_output(flatten(a), flatten(a.clone()), yardstick).yardstick == ""


def test_a_row_whose_structure_differs_counts_nothing() -> None:
    judged = judge_output(flatten((torch.ones(2),)), flatten([torch.ones(2), torch.ones(2)]), MEASURED)
    assert judged.mark == "beyond"
    assert judged.yardstick == ""
