"""A scale, a shift or a rounding of the inputs that an artifact has inside is told where it holds, and only there."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
import torch
from torch import Tensor, nn

from tests.unit import naming_models
from tests.unit.artifact_bench import eager, make, quiet_job, replaced, row, write_manifest
from workbench.protocol.artifacts import CheckRow
from workbench.protocol.messages import MakeArtifact
from workbench.protocol.model import Recipe
from workbench.worker.artifact import bundle, naming_coarse, naming_fitted, naming_inputs, prove_job
from workbench.worker.artifact.naming_inputs import same_bits
from workbench.worker.judge.leaves import Flat


class Stepped(nn.Module):
    """A model with a step before it."""

    def __init__(self, model: nn.Module, step: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.model, self.step = model, step

    def forward(self, x: Tensor) -> Tensor:
        answer: Tensor = self.model(self.step(x))
        return answer


@pytest.fixture(autouse=True)
def unhurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy machine decides no words."""
    for module in (naming_coarse, naming_fitted, naming_inputs):
        monkeypatch.setattr(module, "_SECONDS", math.inf)
    monkeypatch.setattr(prove_job, "REASON_SECONDS", math.inf)


def values_of(tmp_path: Path, name: str, step: Callable[[Tensor], Tensor], inputs: str = "x=float32[4,5]") -> CheckRow:
    """What is said of an artifact that takes this step before the model."""
    made = make(tmp_path, name, "trace", (inputs,))
    size = [int(one) for one in inputs.partition("[")[2].rstrip("]").split(",")]
    with torch.no_grad():
        program = torch.jit.trace(Stepped(eager(name), step), torch.randn(size))
    return row(replaced(tmp_path, made, program), "values")


def silent(cause: str) -> bool:
    """Whether nothing of what is fitted here is named."""
    return not any(words in cause for words in ("normalises", "answers as eager does", "does not see", "baked in"))


def cause_of(tmp_path: Path, name: str, inputs: tuple[str, ...], wrong: nn.Module, **kwargs: Any) -> str:
    """What is said of an artifact that is `wrong` with the weights of a model in `naming_models`."""
    recipe = Recipe(f"{naming_models.__file__}:{name}", inputs=inputs, kwargs=kwargs)
    with patch.object(bundle, "_speed", return_value=None):
        made = bundle.make_artifact(MakeArtifact(recipe, "trace", str(tmp_path)), quiet_job())
    write_manifest(tmp_path, made.manifest)
    torch.manual_seed(0)
    model = getattr(naming_models, name)(**kwargs)
    inner = wrong.model if isinstance(wrong, Stepped) else wrong
    inner.load_state_dict(model.state_dict())
    sizes = [
        [int(one) for one in text.partition("[")[2].partition("]")[0].replace("batch:1..", "").split(",")]
        for text in inputs
    ]
    with torch.no_grad():
        program = torch.jit.trace(wrong.eval(), tuple(torch.randn(size) for size in sizes))
    said = row(replaced(tmp_path, made, program), "values")
    assert said.status == "fail"
    return said.cause


@pytest.mark.parametrize(
    ("step", "words"),
    [
        (lambda x: (x - 0.45) / 0.22, "it answers as eager does when x is fed as 0.22·x + 0.45"),
        (lambda x: (x + 0.1) / 4, "it answers as eager does when x is fed as 4·x - 0.1"),
        (lambda x: x / 12, "it answers as eager does when x is fed as 12·x"),
        (lambda x: x - 0.3, "it answers as eager does when x is fed as x + 0.3"),
        (lambda x: (x - 10) / 255, "it normalises x: (x - 10) / 255"),
        (lambda x: x.bfloat16().float(), "it does not see x finer than bfloat16"),
        (lambda x: x.half().float(), "it does not see x finer than float16"),
    ],
)
def test_a_step_on_the_inputs_is_named(tmp_path: Path, step: Callable[[Tensor], Tensor], words: str) -> None:
    said = values_of(tmp_path, "Net", step)
    assert said.cause == words
    assert said.remedy.startswith(("Feed it so", "Feed it without that step", "Export the model without that step"))


@pytest.mark.parametrize("step", [torch.tanh, lambda x: x + 0.01 * x.abs(), lambda x: (x * 8).round() / 8])
def test_another_step_is_not_named_as_one_of_these(tmp_path: Path, step: Callable[[Tensor], Tensor]) -> None:
    cause = values_of(tmp_path, "Net", step).cause
    assert silent(cause)


def test_a_small_difference_that_is_a_little_like_a_scale_is_none(tmp_path: Path) -> None:
    said = values_of(tmp_path, "Net", lambda x: x * 1.0004 + x.abs() * 5e-5)
    assert said.status == "fail"
    assert silent(said.cause)


def test_each_channel_of_an_image_has_its_own(tmp_path: Path) -> None:
    mean, scale = (torch.tensor(one).reshape(3, 1, 1) for one in ([0.5, 0.4, 0.3], [0.2, 0.25, 0.3]))
    said = values_of(tmp_path, "Image", lambda x: (x - mean) / scale, "x=float32[2,3,6,6]")
    assert said.cause == "it normalises x: (x - [0.5, 0.4, 0.3]) / [0.2, 0.25, 0.3]"


STEPS = {
    "fake int8, step 0.05": lambda x: (x / 0.05).round().clamp(-128, 127) * 0.05,
    "float8": lambda x: x.to(torch.float8_e4m3fn).float(),
    "whole numbers": torch.round,
}


@pytest.mark.parametrize("width", [30, 100, 300])
@pytest.mark.parametrize("step", STEPS.values(), ids=list(STEPS))
def test_coarser_steps_are_no_dtype(tmp_path: Path, step: Callable[[Tensor], Tensor], width: int) -> None:
    wrong = Stepped(naming_models.Vector(width), step)
    assert silent(cause_of(tmp_path, "Vector", (f"x=float32[{width}]",), wrong, width=width))


@pytest.mark.parametrize("width", [30, 100])
@pytest.mark.parametrize("name", ["Sigmoid", "Autocast"])
def test_what_rounding_does_not_explain_is_not_rounding(tmp_path: Path, name: str, width: int) -> None:
    wrong = getattr(naming_models, name)(width)
    assert silent(cause_of(tmp_path, "Vector", (f"x=float32[4,{width}]",), wrong, width=width))


@pytest.mark.parametrize("spec", ["x=float32[2,3,32,32]", "x=float32[batch:1..8,3,32,32]{0..1}"])
def test_rounding_is_told_where_most_values_do_not_matter_alone(tmp_path: Path, spec: str) -> None:
    wrong = Stepped(naming_models.Pooled(), lambda x: x.bfloat16().float())
    assert cause_of(tmp_path, "Pooled", (spec,), wrong) == "it does not see x finer than bfloat16"


@pytest.mark.parametrize("width", [8, 16])
def test_a_scale_that_fits_more_than_one_input_is_named_for_none(tmp_path: Path, width: int) -> None:
    inputs = tuple(f"{name}=float32[2,4,{width}]" for name in "qkv")
    assert silent(cause_of(tmp_path, "Attention", inputs, naming_models.Attention(1 / width)))


def test_a_temperature_is_told_as_what_was_measured(tmp_path: Path) -> None:
    cause = cause_of(tmp_path, "Soft", ("x=float32[4,5]",), naming_models.Soft(2.0))
    assert cause == "it answers as eager does when x is fed as 2·x"
    assert silent(cause_of(tmp_path, "Biased", ("x=float32[4,5]",), naming_models.Biased(2.0)))


def test_other_weights_inside_are_told_as_what_was_measured(tmp_path: Path) -> None:
    cause = cause_of(tmp_path, "Vector", ("x=float32[4,30]",), naming_models.Scaled())
    assert cause.startswith("it answers as eager does when x is fed as 0.952")


@pytest.mark.parametrize("columns", [5, 50])
def test_what_does_not_mind_the_order_of_its_values_is_not_baked(tmp_path: Path, columns: int) -> None:
    assert silent(cause_of(tmp_path, "Peak", (f"x=float32[4,{columns}]",), naming_models.Peak(True)))


def test_values_that_are_baked_in_are_told(tmp_path: Path) -> None:
    cause = cause_of(tmp_path, "Vector", ("x=float32[4,30]",), naming_models.Baked())
    assert cause == "its answer does not depend on x: the example's values may be baked in"


def test_nan_and_infinity_are_no_numbers() -> None:
    def said(*values: float) -> Flat:
        return Flat("", [("output", torch.tensor(values))])

    largest = torch.finfo(torch.float32).max
    assert same_bits(said(math.nan, 1.0), said(math.nan, 1.0))
    assert not same_bits(said(0.0, 1.0), said(math.nan, 1.0))
    assert not same_bits(said(1.0, largest), said(1.0, math.inf))


def test_a_fit_looks_at_so_many_elements_and_the_last_word_is_of_all() -> None:
    class Golden:
        def eager(self, index: int) -> Flat:
            return Flat("", [("output", torch.ones(1 << 21))])

    answer = torch.ones(1 << 21)
    answer[-1] = 2.0
    with patch.object(naming_fitted, "answer_to", return_value=Flat("", [("output", answer)])):
        asked: Any = (None, Golden(), 0, "cpu", "x", torch.tensor([1.0, 0.0]))
        rest = naming_fitted._rest(*asked)
        assert rest is not None
        assert rest.numel() <= naming_fitted._FITTED
        assert naming_fitted._furthest(*asked) == 1.0
