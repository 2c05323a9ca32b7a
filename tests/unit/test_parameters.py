"""The tensors of an artifact are matched with the checkpoint's whatever stands in front of their names."""

from __future__ import annotations

import pytest
import torch

from workbench.worker.artifact.parameters import describe_tensors, match_parameters

MODEL = {
    "a.weight": torch.arange(6.0).reshape(2, 3),
    "a.bias": torch.tensor([1.0, 2.0]),
    "b.weight": torch.ones(4, 2),
    "b.bias": torch.full((4,), 0.25),
}
EXPECTED = describe_tensors(MODEL.items())


def off(name: str) -> dict[str, torch.Tensor]:
    return {**MODEL, name: MODEL[name] + 4e-3}


def test_a_wrappers_name_in_front_hides_no_fault() -> None:
    assert match_parameters({f"m.{name}": value for name, value in MODEL.items()}.items(), EXPECTED)[0] == "pass"
    status, evidence = match_parameters({f"m.{name}": value for name, value in off("b.bias").items()}.items(), EXPECTED)
    assert status == "fail"
    assert evidence.startswith("1 of 4 differ from the checkpoint: m.b.bias [4] (mean 0.254")


def test_a_name_that_the_artifact_lacks_in_front_hides_no_fault() -> None:
    expected = describe_tensors((f"model.{name}", value) for name, value in MODEL.items())
    assert match_parameters(MODEL.items(), expected)[0] == "pass"
    status, evidence = match_parameters(off("a.bias").items(), expected)
    assert (status, "a.bias" in evidence) == ("fail", True)


def test_a_tensor_beside_the_wrapped_ones_is_no_fault() -> None:
    own = {**{f"m.{name}": value for name, value in MODEL.items()}, "scale": torch.tensor(2.0)}
    assert match_parameters(own.items(), EXPECTED)[0] == "pass"
    wrong = {**{f"m.{name}": value for name, value in off("a.bias").items()}, "scale": torch.tensor(2.0)}
    assert match_parameters(wrong.items(), EXPECTED)[0] == "fail"


@pytest.mark.parametrize("name", list(MODEL))
def test_names_that_say_nothing_hide_no_fault(name: str) -> None:
    renamed = [(f"p{place}", value) for place, value in enumerate(off(name).values())]
    status, evidence = match_parameters(renamed, EXPECTED)
    assert status == "fail"
    assert f"p{list(MODEL).index(name)} " in evidence
    assert f"in the place of {name}" in evidence
    right = [(f"p{place}", value) for place, value in enumerate(MODEL.values())]
    assert match_parameters(right, EXPECTED)[0] == "pass"


def test_other_tensors_under_other_names_are_not_judged() -> None:
    assert match_parameters([("p0", torch.zeros(9)), ("p1", torch.zeros(9))], EXPECTED)[0] == "skip"
    folded = [("p0", MODEL["a.weight"]), ("p1", torch.zeros(7, 7))]
    assert match_parameters(folded, EXPECTED)[0] == "skip"
    assert match_parameters([], EXPECTED)[0] == "skip"


def test_a_like_name_in_another_shape_says_nothing() -> None:
    assert match_parameters([("x.a.weight", torch.zeros(9))], EXPECTED)[0] == "skip"


def test_batch_norm_that_was_folded_leaves_the_layer_before_it_to_the_answers() -> None:
    model = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4), torch.nn.Linear(4, 2))
    expected = describe_tensors(model.state_dict().items())
    held = {name: value for name, value in model.state_dict().items() if not name.startswith("1.")}
    folded = {**held, "0.weight": held["0.weight"] * 2, "0.bias": held["0.bias"] + 1}
    assert match_parameters(folded.items(), expected, folds=True)[0] == "skip"
    assert "1 not in the artifact" in match_parameters(folded.items(), expected, folds=True)[1]
    assert match_parameters(folded.items(), expected)[0] == "fail"
    more = {**folded, "2.bias": held["2.bias"] + 1e-3}
    assert match_parameters(more.items(), expected, folds=True)[0] == "fail"
    unfolded = {**model.state_dict(), "0.bias": held["0.bias"] + 1}
    assert match_parameters(unfolded.items(), expected, folds=True)[0] == "fail"
