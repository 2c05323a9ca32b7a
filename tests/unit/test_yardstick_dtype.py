"""A float64 yardstick speaks for the dtype it was measured in: another dtype is judged by tolerance, and says so."""

from __future__ import annotations

from dataclasses import replace

import torch

from tests.unit.run_bench import Sent, bench_with, fire
from workbench.protocol.messages import GetDiff, SetReference, SetYardstick
from workbench.protocol.runs import BEYOND, NOISE, LeafDiff, LeafNoise, Yardstick
from workbench.worker.judge.compare import compare_leaf
from workbench.worker.judge.verdict import judge, yardstick_used

NARROW, WIDE = 2.0**-7, 2.0**-23
"""eps of bfloat16 and of float32."""


def measured(eps: float) -> Yardstick:
    return Yardstick("float64", {"output": LeafNoise(eps, 3 * eps, eps, 16)}, reason="")


def one(dtype: torch.dtype, error: float) -> LeafDiff:
    base = torch.randn(500, generator=torch.Generator().manual_seed(1))
    return compare_leaf("output", base.to(dtype), (base * (1 + error)).to(dtype))


def test_noise_of_float32_does_not_accuse_bfloat16() -> None:
    healthy = judge(one(torch.bfloat16, 1e-3), measured(WIDE))
    assert (healthy.mark, healthy.noise_multiple < 1) == (NOISE, True)
    assert "in bfloat16: judged by torch.testing's tolerance" in healthy.reason


def test_noise_of_bfloat16_does_not_excuse_float32() -> None:
    assert judge(one(torch.float32, 1e-3), measured(NARROW)).mark == BEYOND
    assert judge(one(torch.float32, 1e-3), measured(1e-3)).mark == BEYOND


def test_the_yardstick_that_was_really_used_is_named() -> None:
    right, wrong = one(torch.float32, 1e-3), replace(one(torch.bfloat16, 1e-3), path="half")
    assert yardstick_used([right], measured(WIDE)) == measured(WIDE)
    assert yardstick_used([wrong], measured(WIDE)).kind == "tolerance"
    mixed = yardstick_used([right, wrong], measured(WIDE))
    assert (mixed.kind, mixed.leaves) == ("float64", measured(WIDE).leaves)
    assert mixed.reason == "judged by tolerance, for their noise was not measured in bfloat16: half"
    for kind in (Yardstick("given", tolerance=1.0), Yardstick("tolerance", reason="why")):
        assert yardstick_used([right, wrong], kind) == kind


def test_a_diff_of_a_cast_model_says_how_it_was_judged() -> None:
    bench, runs = bench_with(training=False)
    bench.model.to(torch.bfloat16)
    bench.args = tuple(value.to(torch.bfloat16) for value in bench.args)
    fire(runs)
    with torch.no_grad():
        bench.model.get_parameter("fc2.bias").mul_(1.01)
    fire(runs)
    runs.set_yardstick(SetYardstick(measured(WIDE)), Sent().job)
    runs.set_reference(SetReference(1), Sent().job)
    found = runs.diff(GetDiff(2), Sent().job)
    assert (found.mark, found.yardstick) == (NOISE, "tolerance")
    assert "bfloat16" in found.yardstick_reason
