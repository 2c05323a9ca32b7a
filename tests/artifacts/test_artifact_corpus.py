"""Others' artifacts held to the proof: none of the right ones refused, every wrong one refused for its own reason.

What takes a second is asked always; the whole is `pytest -m slow tests/artifacts`.
"""

from __future__ import annotations

import math

import pytest

from tests.artifacts.right import RIGHT
from tests.artifacts.writers import Made, absent, missing_words, prove_made
from tests.artifacts.wrong import WRONG
from workbench.worker.artifact import naming_coarse, naming_fitted, naming_inputs, prove_job

OFTEN = (
    "a bias off by 1e-3, traced",
    "a bias off by 1e-3, exported",
    "a fresh initialisation",
    "weights on an int8 grid",
    "batch statistics of another epoch",
    "train mode, exported",
    "swapped outputs, traced",
    "an output left out",
    "classes in another order",
    "a softmax too many",
    "the softmax missing, right weights",
    "an answer of float64",
    "channels swapped",
    "normalises inside",
    "inputs in each other's place",
    "an input fewer",
    "double inside",
    "batch fixed at 1",
    "quantised without a word",
    "another model",
    "a .pt2 cut off",
    "a bias off by 1e-3, onnx",
)
RIGHT_OFTEN = (
    "Heads, traced",
    "Tied, exported",
    "Signed, scripted",
    "Tied, state_dict",
    "frozen",
    "dimensions found by torch",
    "of one size only",
    "other names of arguments",
    "a list for a tuple",
    "batch norm as an affine map",
    "convolution and batch norm fused, traced",
    "Classifier, onnx",
)


@pytest.fixture(autouse=True)
def unhurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy machine decides no words."""
    for module in (naming_coarse, naming_fitted, naming_inputs):
        monkeypatch.setattr(module, "_SECONDS", math.inf)
    monkeypatch.setattr(prove_job, "REASON_SECONDS", math.inf)


def select(titles: tuple[str, ...], among: tuple[Made, ...]) -> list[Made]:
    found = [one for one in among if one.title in titles]
    assert len(found) == len(titles)
    return found


def title(one: Made) -> str:
    return one.title


def refused_for_its_reason(one: Made) -> None:
    if why := absent(one):
        pytest.skip(why)
    proof = prove_made(one)
    assert proof.verdict != "pass"
    assert missing_words(proof, one.expected) == []


def not_refused(one: Made) -> None:
    if why := absent(one):
        pytest.skip(why)
    proof = prove_made(one)
    assert [(row.id, row.evidence) for row in proof.checks if row.status in ("fail", "error")] == []
    assert proof.verdict == "pass"
    assert proof.cases >= 16


def test_the_corpus_is_as_large_as_it_says() -> None:
    assert len({one.title for one in WRONG}) == len(WRONG) >= 30
    assert len({one.title for one in RIGHT}) == len(RIGHT) >= 20
    assert all(one.expected for one in WRONG)


@pytest.mark.parametrize("one", select(OFTEN, WRONG), ids=title)
def test_a_wrong_one_is_refused_for_its_reason(one: Made) -> None:
    refused_for_its_reason(one)


@pytest.mark.parametrize("one", select(RIGHT_OFTEN, RIGHT), ids=title)
def test_a_right_one_is_not_refused(one: Made) -> None:
    not_refused(one)


@pytest.mark.slow
@pytest.mark.timeout(600)  # native code is compiled for a minute or more
@pytest.mark.parametrize("one", [one for one in WRONG if one.title not in OFTEN], ids=title)
def test_every_wrong_one_is_refused_for_its_reason(one: Made) -> None:
    refused_for_its_reason(one)


@pytest.mark.slow
@pytest.mark.timeout(600)  # native code is compiled for a minute or more
@pytest.mark.parametrize("one", [one for one in RIGHT if one.title not in RIGHT_OFTEN], ids=title)
def test_every_right_one_is_not_refused(one: Made) -> None:
    not_refused(one)
