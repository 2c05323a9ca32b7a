"""A scale, a shift or a rounding of the inputs that an artifact has inside is named where it holds, and only there."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from tests.unit.artifact_bench import eager, make, replaced, row
from workbench.protocol.artifacts import CheckRow
from workbench.worker.artifact import naming_fitted, naming_inputs


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
    for module in (naming_inputs, naming_fitted):
        monkeypatch.setattr(module, "_SECONDS", math.inf)


def values_of(tmp_path: Path, name: str, step: Callable[[Tensor], Tensor], inputs: str = "x=float32[4,5]") -> CheckRow:
    """What is said of an artifact that takes this step before the model."""
    made = make(tmp_path, name, "trace", (inputs,))
    size = [int(one) for one in inputs.partition("[")[2].rstrip("]").split(",")]
    with torch.no_grad():
        program = torch.jit.trace(Stepped(eager(name), step), torch.randn(size))
    return row(replaced(tmp_path, made, program), "values")


@pytest.mark.parametrize(
    ("step", "words"),
    [
        (lambda x: (x - 0.45) / 0.22, "it normalises x: (x - 0.45) / 0.22"),
        (lambda x: x / 12, "it normalises x: x / 12"),
        (lambda x: x - 0.3, "it normalises x: x - 0.3"),
        (lambda x: x.bfloat16().float(), "it rounds x to bfloat16"),
        (lambda x: x.half().float(), "it rounds x to float16"),
    ],
)
def test_a_step_on_the_inputs_is_named(tmp_path: Path, step: Callable[[Tensor], Tensor], words: str) -> None:
    said = values_of(tmp_path, "Net", step)
    assert said.cause == words
    assert said.remedy.startswith(("Feed it without that step", "Export the model without that step"))


@pytest.mark.parametrize("step", [torch.tanh, lambda x: x + 0.01 * x.abs(), lambda x: (x * 8).round() / 8])
def test_another_step_is_not_named_as_one_of_these(tmp_path: Path, step: Callable[[Tensor], Tensor]) -> None:
    cause = values_of(tmp_path, "Net", step).cause
    assert "normalises" not in cause
    assert "it rounds" not in cause


def test_a_small_difference_that_is_a_little_like_a_scale_is_none(tmp_path: Path) -> None:
    said = values_of(tmp_path, "Net", lambda x: x * 1.0004 + x.abs() * 5e-5)
    assert said.status == "fail"
    assert "normalises" not in said.cause


def test_each_channel_of_an_image_has_its_own(tmp_path: Path) -> None:
    mean, scale = (torch.tensor(one).reshape(3, 1, 1) for one in ([0.5, 0.4, 0.3], [0.2, 0.25, 0.3]))
    said = values_of(tmp_path, "Image", lambda x: (x - mean) / scale, "x=float32[2,3,6,6]")
    assert said.cause == "it normalises x: (x - [0.5, 0.4, 0.3]) / [0.2, 0.25, 0.3]"
