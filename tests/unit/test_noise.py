"""The float64 yardstick: real where it can be, and honest where it cannot."""

from __future__ import annotations

import importlib
import itertools
import math
from typing import Any

import pytest
import torch
from torch import nn

from tests.unit import check_models
from workbench.protocol.failures import WorkbenchError
from workbench.protocol.messages import MeasureNoise
from workbench.protocol.model import Modes, Recipe
from workbench.protocol.runs import NOISE, Yardstick
from workbench.protocol.spec_reader import parse
from workbench.worker.bench.inputs import Argument, Example
from workbench.worker.job import Cancelled, Job
from workbench.worker.judge import noise, twin
from workbench.worker.judge.compare import compare
from workbench.worker.judge.leaves import flatten
from workbench.worker.judge.verdict import judge_all

EPS = 2.0**-23


def job() -> Job:
    return Job(1, lambda body, number: None)


def example(dtype: str = "float32") -> Example:
    return Example((Argument("x", parse(f"x={dtype}[5,6]"), None, "given"),), 0)


def measured(model: nn.Module, dtype: str = "float32") -> Yardstick:
    return noise.measure(model, example(dtype), job())


def made(name: str) -> Any:
    torch.manual_seed(0)
    return getattr(check_models, name)()


def test_a_healthy_model_has_noise_of_the_size_of_eps() -> None:
    yardstick = measured(made("Healthy").eval())
    assert (yardstick.kind, yardstick.reason) == ("float64", "")
    leaf = yardstick.leaves["output"]
    assert (leaf.eps, leaf.cases) == (EPS, 16)
    assert EPS / 10 < leaf.rms < 10 * EPS
    assert leaf.rms <= leaf.largest < 100 * EPS


def test_train_mode_with_dropout_is_measured_in_eval_and_says_so() -> None:
    model = made("Healthy").train()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    yardstick = measured(model)
    assert (yardstick.kind, "measured in eval" in yardstick.reason) == ("float64", True)
    assert yardstick.leaves["output"].rms < 10 * EPS
    assert all(module.training for module in model.modules())
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())


def test_train_mode_without_randomness_is_measured_as_it_is() -> None:
    model = made("Healthy").train()
    model.drop.p = 0.0
    yardstick = measured(model)
    assert (yardstick.kind, yardstick.reason) == ("float64", "")
    assert yardstick.leaves["output"].rms < 100 * EPS


def test_half_precision_has_its_own_noise() -> None:
    yardstick = measured(made("Plain").to(torch.bfloat16), "bfloat16")
    assert yardstick.leaves["output"].eps == 2.0**-7
    assert 2.0**-12 < yardstick.leaves["output"].rms < 2.0**-5


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("Downcasting", "float64 run downcasts in aten._to_copy at check_models.py:"),
        ("HardDtype", "the float64 run failed: RuntimeError: "),
        ("FunctionalDropout", "draws random numbers"),
        ("Wordy", "no output leaf is floating"),
    ],
)
def test_an_unreal_yardstick_falls_back_with_its_reason(name: str, words: str) -> None:
    yardstick = measured(made(name).eval())
    assert (yardstick.kind, yardstick.leaves) == ("tolerance", {})
    assert words in yardstick.reason


def test_a_clock_that_ticks_seldom_is_no_rounding(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(noise, "AGAIN_SECONDS", math.inf)
    calls = itertools.count()

    class Clock(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x * 0.5 + next(calls) // 4

    yardstick = measured(Clock())
    assert (yardstick.kind, "does not repeat its own answer" in yardstick.reason) == ("tolerance", True)


def test_a_model_in_float64_has_no_higher_judge() -> None:
    assert "float64 itself" in measured(made("Plain").double(), "float64").reason


def test_a_number_of_python_s_has_the_noise_of_what_it_was_computed_in() -> None:
    noise = measured(made("Scored")).leaves["output['score']"]
    assert (noise.eps, noise.cases) == (EPS, 16)
    assert 0 < noise.rms < 100 * EPS


def test_only_leaves_that_float64_says_something_about() -> None:
    assert list(measured(made("Whole")).leaves) == ["output['logits']"]


def test_a_scalar_has_its_usual_size() -> None:
    class Scalar(check_models.Plain):
        def act(self, y: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
            return y.mean()

    leaf = measured(Scalar()).leaves["output"]
    assert 0.01 < leaf.scale < 1.0
    assert measured(made("Plain")).leaves["output"].scale == 0.0


def test_a_model_that_does_not_run_is_a_failure() -> None:
    with pytest.raises(WorkbenchError) as caught:
        measured(made("Raising"))
    assert caught.value.failure.kind == "forward"
    assert "check_models.py" in caught.value.failure.where


def test_inputs_that_raise_later_are_left_out_and_counted() -> None:
    class Sometimes(check_models.Plain):
        def act(self, y: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
            if float(x[0, 0]) > 1.0:
                raise ValueError("too large")
            return y

    yardstick = measured(Sometimes())
    assert yardstick.kind == "float64"
    assert yardstick.leaves["output"].cases < 16
    assert "left out" in yardstick.reason


def test_nothing_is_left_behind() -> None:
    model = made("Mutating")
    state = torch.get_rng_state()
    weight = model.linear.weight.clone()
    threads = torch.get_num_threads()
    measured(model)
    assert torch.equal(state, torch.get_rng_state())
    assert torch.equal(weight, model.linear.weight)
    assert threads == torch.get_num_threads()
    assert not hasattr(model, "extra")


def test_cancel_stops_it() -> None:
    stopped = job()
    stopped.cancel()
    with pytest.raises(Cancelled):
        noise.measure(made("Plain"), example(), stopped)


def test_reference_outputs_are_float64_and_leave_the_inputs() -> None:
    model = made("Whole")
    x = torch.ones(2, 6)
    flat, downcast = twin.reference_outputs(twin.float64_twin(model), (x,), {})
    assert downcast == ""
    assert dict(flat.leaves)["output['logits']"].dtype == torch.float64
    assert (x.dtype, model.linear.weight.dtype) == (torch.float32, torch.float32)
    tensor_attribute = nn.Linear(2, 2)
    tensor_attribute.scale = torch.ones(2)  # type: ignore[assignment]
    assert twin.float64_twin(tensor_attribute).scale.dtype == torch.float64


def test_another_kernel_is_within_the_measured_noise() -> None:
    model = made("Healthy").eval()
    yardstick = measured(model)
    x = example().sample(77)[0][0]
    rows = torch.cat([model(row[None]) for row in x])
    mark, leaves = judge_all(*compare(flatten(model(x)), flatten(rows)), yardstick)
    assert mark in (NOISE, "identical"), leaves


def test_the_request_builds_the_recipe_in_its_modes() -> None:
    importlib.invalidate_caches()
    recipe = Recipe(f"{check_models.__file__}:Healthy", inputs=("x=float32[5,6]",))
    request = MeasureNoise(recipe, Modes(training=False, dtype="bfloat16"))
    yardstick = noise.measure_noise(request, job())
    assert (yardstick.kind, yardstick.reason) == ("float64", "")
    assert yardstick.leaves["output"].eps == 2.0**-7
