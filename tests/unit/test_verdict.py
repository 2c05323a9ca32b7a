"""The verdict's rules and its constants, on records alone and on healthy kernels."""

from __future__ import annotations

import ast
import math
import re
import sys
import types
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from workbench.protocol.runs import BEYOND, IDENTICAL, INCOMPARABLE, NOISE, LeafDiff, LeafNoise, Yardstick
from workbench.worker.judge import verdict
from workbench.worker.judge.compare import compare_leaf, relative_error
from workbench.worker.judge.verdict import judge, judge_all, pool, pooled, tolerance_for, worst_mark

ROOT = Path(verdict.__file__).parents[2]
EPS = 2.0**-23
TOLERANCE = Yardstick("tolerance")


def diff(rms: float, largest: float, dtype: str = "float32", **more: object) -> LeafDiff:
    record = {"mismatched": 1, "scale": 1.0, "max_abs": largest, "rmse": rms, "peak": 1.0} | more
    return LeafDiff("output", BEYOND, "", dtype, (99,), 99, noise_rms=rms, noise_largest=largest, **record)  # type: ignore[arg-type]


def float64(rms: float, largest: float) -> Yardstick:
    return Yardstick("float64", {"output": LeafNoise(rms, largest, EPS, 16)})


@pytest.mark.parametrize(
    ("rms", "largest", "mark", "multiple"),
    [
        (3e-3, 1e-3, NOISE, 3.0),
        (3.1e-3, 1e-3, BEYOND, 3.1),
        (1e-3, 5e-2, NOISE, 1.5),
        (1e-3, 1.1e-1, BEYOND, 3.3),
    ],
)
def test_both_criteria_on_one_scale(rms: float, largest: float, mark: str, multiple: float) -> None:
    judged = judge(diff(rms, largest), float64(1e-3, 1e-2))
    assert (judged.mark, judged.noise_multiple) == (mark, pytest.approx(multiple, rel=1e-2))


def test_one_case_of_few_elements_may_stand_out_by_chance() -> None:
    factors = [verdict.few_elements(count) for count in (1, 2, 8, 40, 50, 10**9)]
    assert factors == sorted(factors, reverse=True)
    assert factors[0] == pytest.approx(2.84, abs=0.01)
    assert (factors[-3] > 1.0, factors[-2:]) == (True, [1.0, 1.0])
    known = float64(1e-3, 1.0)
    assert judge(replace(diff(8e-3, 8e-3), elements=1), known).mark == NOISE
    assert judge(replace(diff(9e-3, 9e-3), elements=1), known).mark == BEYOND
    assert judge(replace(diff(4e-3, 8e-3), elements=100), known).mark == BEYOND


def test_the_chance_is_what_the_formula_says() -> None:
    drawn = torch.randn(200_000, 2, 8, generator=torch.Generator().manual_seed(3))
    rms = (drawn[:, 0] - drawn[:, 1]).square().mean(-1).sqrt()
    far = float((rms > verdict.RMS_FACTOR * verdict.few_elements(8) / 1.5).float().mean())
    assert 2e-5 < far < 3e-4  # before the factor that inputs of unlike difficulty have on top


def test_the_worst_measured_input_bounds_one_input_and_not_the_pool() -> None:
    errors = [(1e-6, 1e-5)] * 15 + [(1e-3, 1e-2)]
    noise = pool(errors, EPS)
    assert (noise.worst, noise.rms) == (1e-3, pytest.approx(2.5e-4, rel=1e-2))
    yardstick = Yardstick("float64", {"output": noise})
    assert judge(diff(1.9e-3, 1e-2), yardstick).mark == NOISE
    assert judge(diff(2.1e-3, 1e-2), yardstick).mark == BEYOND
    assert pooled(errors, [(1e-3, 1e-2)] * 16, EPS)[0] == BEYOND


def test_a_small_leaf_near_zero_is_seen_beside_its_usual_size() -> None:
    near_zero = diff(1e-3, 1e-3, scale=1e-3, max_abs=1e-6)
    plain = Yardstick("float64", {"output": LeafNoise(1e-5, 1e-5, EPS, 16)})
    usual = Yardstick("float64", {"output": LeafNoise(1e-5, 1e-5, EPS, 16, scale=1.0)})
    assert [judge(near_zero, one).mark for one in (plain, usual)] == [BEYOND, NOISE]
    assert judge(diff(1e-3, 1e-3), usual).mark == BEYOND


def test_eps_carries_outputs_that_eager_gets_exact() -> None:
    assert judge(diff(3.9 * EPS, 15.9 * EPS), float64(0.0, 0.0)).mark == NOISE
    assert judge(diff(4.1 * EPS, 1 * EPS), float64(0.0, 0.0)).mark == BEYOND
    assert judge(diff(1 * EPS, 16.1 * EPS), float64(0.0, 0.0)).mark == BEYOND


def test_a_narrow_dtype_hides_no_error_that_torch_testing_refuses() -> None:
    eps = 2.0**-7
    exact = Yardstick("float64", {"output": LeafNoise(0.3 * eps, eps, eps, 16)})
    assert judge(diff(2.3 * eps, 15.9 * eps, "bfloat16"), exact).mark == NOISE
    assert judge(diff(2.5 * eps, 1 * eps, "bfloat16"), exact).mark == BEYOND
    assert judge(diff(1 * eps, 16.1 * eps, "bfloat16"), exact).mark == BEYOND


def test_tolerance_is_relative_and_torch_testings_own() -> None:
    for dtype, (rtol, atol) in torch.testing._comparison._DTYPE_PRECISIONS.items():
        assert verdict.TOLERANCES.get(str(dtype).removeprefix("torch."), rtol + atol) == rtol + atol
    for scale in (1e-5, 1.0, 1e12):
        base = torch.randn(50, generator=torch.Generator().manual_seed(1)) * scale
        assert judge(compare_leaf("output", base, base * (1 + 1e-6)), TOLERANCE).mark == NOISE
        assert judge(compare_leaf("output", base, base * (1 + 1e-4)), TOLERANCE).mark == BEYOND
    assert judge(diff(0.0, 0.9 * tolerance_for("float32")), TOLERANCE).noise_multiple == pytest.approx(0.9)
    assert judge(diff(0.0, 3 * tolerance_for("float32"), peak=4.0), TOLERANCE).mark == NOISE
    assert tolerance_for("float8_e5m2") == torch.finfo(torch.float8_e5m2).eps


def test_a_given_tolerance_counts_the_largest_error() -> None:
    assert judge(diff(0.0, 0.5), Yardstick("given", tolerance=0.5)).mark == NOISE
    assert judge(diff(0.0, 0.6), Yardstick("given", tolerance=0.5)).noise_multiple == pytest.approx(1.2)
    assert judge(diff(0.0, 1e-9), Yardstick("given")).mark == BEYOND


def test_integers_are_exact_under_any_yardstick() -> None:
    a, b = torch.tensor([1, 2]), torch.tensor([1, 3])
    for yardstick in (TOLERANCE, Yardstick("given", tolerance=9.0), float64(1.0, 1.0)):
        assert judge(compare_leaf("output", a, b), yardstick).mark == BEYOND
        assert judge(compare_leaf("output", a > 1, b < 2), yardstick).mark == BEYOND
        assert judge(compare_leaf("output", a, a), yardstick).mark == IDENTICAL


def test_what_values_cannot_mend_stays() -> None:
    generous = Yardstick("given", tolerance=math.inf)
    nan = judge(compare_leaf("output", torch.tensor([math.nan, 1.0]), torch.tensor([1.0, 1.0])), generous)
    assert (nan.mark, nan.noise_multiple) == (BEYOND, math.inf)
    assert judge(compare_leaf("output", torch.zeros(2), torch.zeros(3)), generous).mark == BEYOND
    empty = torch.eye(2, device="meta")
    assert judge(compare_leaf("output", empty, empty), generous).mark == INCOMPARABLE


def test_signed_zero_is_noise_and_a_zero_reference_is_not() -> None:
    assert judge(compare_leaf("output", torch.zeros(2), -torch.zeros(2)), TOLERANCE).mark == NOISE
    lost = judge(compare_leaf("output", torch.zeros(2), torch.full((2,), 1e-20)), TOLERANCE)
    assert (lost.mark, "zero everywhere" in lost.reason) == (BEYOND, True)


def test_judging_again_with_another_yardstick() -> None:
    first = judge(diff(1e-3, 1e-3), TOLERANCE)
    second = judge(first, float64(1e-2, 1e-2))
    third = judge(second, Yardstick("float64", {}))
    assert [one.mark for one in (first, second, third)] == [BEYOND, NOISE, BEYOND]
    assert judge(third, float64(1e-2, 1e-2)) == second


def test_a_leaf_without_noise_falls_back_and_says_so() -> None:
    judged = judge(diff(1e-7, 1e-7), Yardstick("float64", {}))
    assert (judged.mark, "tolerance" in judged.reason) == (NOISE, True)


def test_pooling() -> None:
    noise = pool([(3.0, 5.0), (4.0, 4.0), (math.inf, math.inf)], EPS)
    assert (noise.rms, noise.largest, noise.cases) == (pytest.approx(math.sqrt(12.5)), 5.0, 2)
    assert pool([(3e-200, 3e-200)] * 4, EPS).rms == pytest.approx(3e-200)
    assert pool([(0.0, 0.0)], EPS) == LeafNoise(0.0, 0.0, EPS, 1)


def test_pooled_verdicts() -> None:
    eager = [(1e-6, 1e-6)] * 16
    assert pooled(eager, eager, EPS)[0] == NOISE
    one_bad = [(1e-6, 1e-6)] * 15 + [(1e-6, 1e-3)]
    assert pooled(eager, one_bad, EPS)[0] == BEYOND
    assert pooled(eager, [(1e-5, 1e-6)] * 16, EPS)[0] == BEYOND
    assert pooled(eager, [(1e-6, 1e-6)] * 15 + [(math.inf, math.inf)], EPS) == (BEYOND, math.inf)
    assert pooled([(math.inf, math.inf)] * 2, [(0.0, 0.0)] * 2, EPS) == (INCOMPARABLE, 0.0)
    assert pooled(eager, eager[:3], EPS)[0] == INCOMPARABLE
    assert pooled([], [], EPS)[0] == INCOMPARABLE


def test_compiled_code_may_sum_in_longer_rows_and_ten_times_the_noise_is_refused_all_the_same() -> None:
    eager, healthy = [(0.70 * EPS, 2.64 * EPS)] * 16, [(6.61 * EPS, 19.3 * EPS)] * 16  # a mean over 4096 pixels
    assert pooled(eager, healthy, EPS)[0] == BEYOND
    mark, multiple = pooled(eager, healthy, EPS, verdict.CHAIN_EPS)
    assert (mark, multiple) == (NOISE, pytest.approx(1.41, abs=0.01))
    for own in (0.0, 0.1, 0.7, 5.0, 100.0):
        rms, largest = (own * EPS, 4 * own * EPS), (10 / 3 * (3 * own + 4) * EPS, 10 / 3 * (40 * own + 16) * EPS)
        for error in ((rms[0], largest[1]), (largest[0], rms[1])):
            assert pooled([rms] * 16, [error] * 16, EPS)[1] == pytest.approx(10)
            assert pooled([rms] * 16, [error] * 16, EPS, verdict.CHAIN_EPS)[0] == BEYOND


def test_the_yardstick_of_compiled_code_says_so_and_leaves_half_precision_alone() -> None:
    noise = LeafNoise(1e-7, 1e-6, EPS, 16)
    found = verdict.for_compiled(Yardstick("float64", {"a": noise, "b": replace(noise, eps=2.0**-7)}, reason="x"))
    assert [one.chain for one in found.leaves.values()] == [verdict.CHAIN_EPS, 0.0]
    assert found.reason == "x; compiled code sums in longer rows: 8 eps more"
    assert verdict.for_compiled(TOLERANCE) is TOLERANCE


def test_the_whole_takes_the_worst() -> None:
    assert worst_mark([IDENTICAL, NOISE, IDENTICAL]) == NOISE
    assert worst_mark([INCOMPARABLE, NOISE]) == INCOMPARABLE
    assert worst_mark([INCOMPARABLE, BEYOND]) == BEYOND
    assert worst_mark([]) == INCOMPARABLE
    same = compare_leaf("output", torch.ones(2), torch.ones(2))
    assert judge_all("", (same,), TOLERANCE)[0] == IDENTICAL
    assert judge_all("output[1] is missing", (same,), TOLERANCE)[0] == BEYOND
    assert judge_all("", (), TOLERANCE)[0] == INCOMPARABLE


def test_healthy_kernels_hold_and_a_small_fault_does_not() -> None:
    """The same mathematics summed in another order holds over 16 inputs; weights off by 1e-4 do not."""
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(256, 64, generator=generator) / 16
    eager, other, broken = [], [], []
    for _ in range(16):
        x = torch.randn(8, 256, generator=generator)
        exact, y = x.double() @ weight.double(), x @ weight
        reordered = sum(x[:, i::4] @ weight[i::4] for i in range(4))
        eager.append(relative_error(y, exact, y))
        other.append(relative_error(torch.as_tensor(reordered), exact, y))
        broken.append(relative_error(x @ (weight * (1 + 1e-4)), exact, y))
    assert pooled(eager, other, EPS)[0] == NOISE
    assert pooled(eager, broken, EPS)[0] == BEYOND


def test_carried_sources_stand_alone_in_one_file() -> None:
    """A bundle's verify.py holds these files one after the other, without their imports from workbench."""
    names: dict[str, str] = {}
    source = "from __future__ import annotations\n"  # as the real header does
    for module in ("protocol/runs", "worker/judge/leaves", "worker/judge/chunks", "worker/judge/ranks",
                   "worker/judge/pieces", "worker/judge/aligning", "worker/judge/totals", "worker/judge/compare",
                   "worker/judge/verdict"):  # fmt: skip
        text = (ROOT / f"{module}.py").read_text()
        text = re.sub(r"^from (workbench|__future__)\b.*?(\([^)]*\))?$", "", text, flags=re.MULTILINE)
        for node in ast.parse(text).body:
            found = [node.name] if isinstance(node, (ast.FunctionDef, ast.ClassDef)) else []
            if isinstance(node, ast.Assign):
                found = [
                    name.id for name in ast.walk(node) if isinstance(name, ast.Name) and isinstance(name.ctx, ast.Store)
                ]
            for name in found:
                assert names.setdefault(name, module) == module, f"{name} is in two carried modules"
        source += text + "\n"
    module = types.ModuleType("carried")
    sys.modules["carried"] = module  # dataclasses look their module up
    try:
        exec(compile(source, "verify.py", "exec", dont_inherit=True), module.__dict__)
        flat = module.flatten({"x": torch.ones(3)})
        structure, leaves = module.compare(flat, module.flatten({"x": torch.ones(3) * (1 + 1e-6)}))
        assert module.judge_all(structure, leaves, module.Yardstick("tolerance"))[0] == NOISE
    finally:
        del sys.modules["carried"]
