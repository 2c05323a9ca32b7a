"""Two models on the same inputs: what passes, what does not, and the cause in words."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from workbench.protocol.codec import from_plain, plain
from workbench.protocol.compare import Compare, Compared, Side
from workbench.protocol.failures import WorkbenchError
from workbench.protocol.model import ModeChange, Recipe
from workbench.protocol.runs import BEYOND, IDENTICAL, INCOMPARABLE, NOISE
from workbench.report.compared import verdict_line
from workbench.report.objects import compare_object
from workbench.worker.job import Cancelled, Job
from workbench.worker.judge.models import compare_models

from .compare_models import Net

FILE = str(Path(__file__).with_name("compare_models.py"))
SERVING = ModeChange(training=False, grad="no_grad")


def side(name: str = "Net", *changes: ModeChange, **recipe: Any) -> Side:
    given = {"inputs": ("x=float32[4,10]",), **recipe}
    return Side(Recipe(f"{FILE}:{name}", **given), (SERVING, *changes))


def compared(a: Side, b: Side, tolerance: float = 0.0) -> Compared:
    events: list[Any] = []
    found = compare_models(Compare(a, b, tolerance), Job(1, lambda body, number: events.append(body)))
    assert events
    assert from_plain(Compared, json.loads(json.dumps(plain(found)))) == found
    assert (found.verdict == "pass") == (found.mark in (IDENTICAL, NOISE)) == (not found.cause)
    return found


def test_a_model_against_itself_is_identical_over_many_cases() -> None:
    threads = torch.get_num_threads()
    found = compared(side(), side())
    assert (found.mark, found.verdict, found.yardstick) == (IDENTICAL, "pass", "float64")
    assert found.cases >= 16
    assert found.differences == ()
    assert [(leaf.identical, leaf.cases, leaf.top1, leaf.top5) for leaf in found.leaves] == [
        (found.cases, found.cases, 1.0, 1.0)
    ]
    assert torch.get_num_threads() == threads


def test_the_same_mathematics_in_another_order_is_noise() -> None:
    found = compared(side(), side("Reordered"))
    assert (found.mark, found.yardstick) == (NOISE, "float64")
    assert 0 < found.noise_multiple <= 3
    assert found.differences[0].startswith("The models are ")


def test_a_small_shift_is_beyond_and_a_tolerance_allows_it() -> None:
    found = compared(side(), side("Shifted"))
    assert (found.mark, found.verdict) == (BEYOND, "fail")
    assert found.noise_multiple > 3
    assert "The error starts in" in found.cause
    assert "The models are" not in found.cause
    given = compared(side(), side("Shifted"), tolerance=0.1)
    assert (given.mark, given.yardstick, given.yardstick_reason) == (NOISE, "given", "--tolerance")


def test_other_weights_are_named(tmp_path: Path) -> None:
    paths = []
    for seed in (0, 1):
        torch.manual_seed(seed)
        model = Net()
        if seed:
            model.load_state_dict({**torch.load(paths[0]), "fc2.bias": torch.ones(10)})
        paths.append(str(tmp_path / f"{seed}.pt"))
        torch.save(model.state_dict(), paths[-1])
    found = compared(side(weights=paths[0]), side(weights=paths[1]))
    assert found.mark == BEYOND
    assert "1 of 4 parameters and buffers have other values: fc2.bias." in found.cause
    assert (found.a.weights, found.b.weights) == tuple(paths)


def test_two_files_of_one_name_each_have_their_own_helper(tmp_path: Path) -> None:
    sides = []
    for name, factor in (("one", 1), ("two", 2)):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "helper.py").write_text(f"FACTOR = {factor}\n")
        (folder / "model.py").write_text(
            "import torch, helper\n"
            "class Net(torch.nn.Module):\n"
            "    def forward(self, x):\n"
            "        import helper as late\n"
            "        return x * helper.FACTOR * late.FACTOR\n"
        )
        sides.append(Side(Recipe(f"{folder}/model.py:Net", inputs=("x=float32[4,10]",)), (SERVING,)))
    found = compared(*sides)
    assert (found.mark, found.leaves[0].worst.max_rel) == (BEYOND, 3.0)
    assert compared(sides[1], sides[1]).mark == IDENTICAL


@pytest.mark.parametrize("change", [ModeChange(grad="inference_mode"), ModeChange(grad="grad"), ModeChange(threads=1)])
def test_settings_that_change_nothing_are_named_and_pass(change: ModeChange) -> None:
    found = compared(side(), side("Net", change))
    assert found.verdict == "pass"
    assert any("grad mode" in words or "number of threads" in words for words in found.differences)


def test_another_dtype_is_measured_in_a_s_own(tmp_path: Path) -> None:
    half = compared(side(), side("Net", ModeChange(dtype="float16")))
    assert (half.mark, half.leaves[0].worst.dtype) == (BEYOND, "float32")
    assert "The dtype is as loaded in A and float16 in B." in half.cause
    assert compared(side(), side("Net", ModeChange(dtype="float64"))).mark == NOISE
    double = compared(side("Sparse"), side("Sparse", ModeChange(dtype="float64")))
    assert (double.mark, double.leaves[0].worst.reason) == (NOISE, ""), double
    assert compared(side(), side("Net", ModeChange(dtype="bfloat16")), tolerance=0.1).verdict == "pass"


@pytest.mark.parametrize("which", ["A", "B"])
@pytest.mark.parametrize("rate", [0.5, 1e-9])
def test_a_random_side_is_never_a_pass(which: str, rate: float) -> None:
    training = side("Net", ModeChange(training=True), kwargs={"rate": rate})
    plain_one = side(kwargs={"rate": rate})
    found = compared(training, plain_one) if which == "A" else compared(plain_one, training)
    assert (found.mark, found.verdict) == (INCOMPARABLE, "fail")
    assert f"Not comparable: side {which} is random" in found.cause
    assert "drop" in found.cause
    assert verdict_line(found) == "not comparable"


def test_under_one_seed_a_random_side_repeats_but_has_no_float64_yardstick() -> None:
    fixed = ModeChange(training=True, rng="fixed", seed=3)
    found = compared(side("Net", fixed), side("Net", fixed))
    assert found.mark == IDENTICAL
    other = compared(side("Net", fixed), side("Net", fixed, ModeChange(seed=4)))
    assert (other.mark, other.yardstick) == (BEYOND, "tolerance")
    assert "draws random numbers" in other.yardstick_reason


def test_hidden_state_is_not_comparable() -> None:
    found = compared(side("Counter"), side("Counter"))
    assert found.mark == INCOMPARABLE
    assert "does not repeat" in found.cause
    assert "calls" in found.cause


@pytest.mark.parametrize(
    ("name", "mark", "words"),
    [
        ("Tree", BEYOND, "B answers in another form"),
        ("Whole", BEYOND, "dtype float32 against int64"),
        ("Nothing", BEYOND, "tensor against None"),
        ("Hole", BEYOND, "NaN or infinity at 4 places"),
        ("FixedRows", BEYOND, "B raises where A answers (batch 1"),
    ],
)
def test_another_form_is_said(name: str, mark: str, words: str) -> None:
    found = compared(side(), side(name))
    assert found.mark == mark
    assert words in found.cause


def test_what_has_no_values_to_read_is_never_a_pass() -> None:
    found = compared(side("KernelLayout"), side("KernelLayout"))
    assert (found.mark, found.verdict) == (INCOMPARABLE, "fail")
    assert "mkldnn" in found.cause


def test_sparse_answers_are_compared_by_what_they_store() -> None:
    found = compared(side("Sparse"), side("Sparse"))
    assert (found.mark, found.verdict) == (IDENTICAL, "pass")


def test_whole_numbers_are_exact() -> None:
    found = compared(side("Whole"), side("Whole"))
    assert (found.mark, found.leaves[0].yardstick) == (IDENTICAL, "exact")


def test_b_is_called_by_place_whatever_its_arguments_are_called() -> None:
    assert compared(side(), side("OtherName")).mark == IDENTICAL


@pytest.mark.parametrize(
    ("a", "b", "kind", "words"),
    [
        (side("Nothing"), side(), "forward", "Side A: the model returned no tensor"),
        (side(), side("Rows"), "inputs", "Side B: "),
        (side(), side("Absent"), "model", "Side B: "),
        (side(), side("Net", weights="nowhere.pt"), "weights", "Side B: There is no weights file"),
        (side(), side("Net", ModeChange(module="body", module_training=True)), "usage", "Side B: "),
    ],
)
def test_a_side_that_cannot_answer_is_a_failure_that_names_it(a: Side, b: Side, kind: str, words: str) -> None:
    with pytest.raises(WorkbenchError) as raised:
        compared(a, b)
    failure = raised.value.failure
    assert failure.message.startswith(words)
    assert failure.kind == kind or (kind == "inputs" and failure.kind == "forward")


def test_an_answer_too_large_for_float64_is_judged_by_tolerance(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workbench.worker.judge.answers.LARGE", 1 << 20)
    wide = side("Wide", inputs=("x=float32[4]",))
    found = compared(wide, wide)
    assert (found.mark, found.yardstick) == (IDENTICAL, "tolerance")
    assert "too large for a float64 run" in found.yardstick_reason


def test_it_can_be_cancelled_between_cases() -> None:
    job = Job(1, lambda body, number: job.cancel() if body.phase == "B answers" else None)
    with pytest.raises(Cancelled):
        compare_models(Compare(side(), side("Reordered")), job)


def test_the_object_has_the_metrics_of_each_leaf_at_its_worst() -> None:
    told = compare_object(compared(side(), side("Shifted")))
    assert (told["schema"], told["verdict"], told["mark"]) == (1, "fail", BEYOND)
    leaf = told["leaves"][0]
    assert {"path", "max_abs", "mean_rel", "p99_ulp", "top1", "top5", "decades", "case_where", "cases"} <= leaf.keys()
