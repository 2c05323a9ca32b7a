"""Healthy models that no check may accuse: parts that cannot be compared, time first, hidden state, int8."""

from __future__ import annotations

import pytest

from tests.unit import check_models
from tests.unit.test_checks import ask, bench, job
from workbench.protocol.messages import Load
from workbench.protocol.model import ModeChange, Recipe
from workbench.worker.bench.bench import Bench


@pytest.mark.parametrize("question", ["repeatable", "reload"])
def test_a_part_that_cannot_be_compared_accuses_no_healthy_model(question: str) -> None:
    row = ask(bench("Opaque"), question)
    assert row.status == "pass", row
    assert "Not compared:" in row.evidence
    assert "output['layout'] (" in row.evidence
    assert "output['cache'] (Cache is no tensor" in row.evidence


def test_the_comparable_part_is_judged() -> None:
    row = ask(bench("OpaqueMoody"), "repeatable")
    assert row.status == "fail"
    assert "output['y'] max|" in row.evidence


@pytest.mark.parametrize("question", ["repeatable", "reload"])
def test_nothing_comparable_is_a_skip(question: str) -> None:
    row = ask(bench("OpaqueOnly"), question)
    assert (row.status, "output (" in row.evidence) == ("skip", True), row


def test_rows_are_taken_along_the_declared_batch() -> None:
    inferred = Bench()
    inferred.load(
        Load(Recipe(f"{check_models.__file__}:Sequential"), ModeChange(training=False, grad="no_grad")), job()
    )
    assert inferred.example.infos[0].spec == "x=float32[16,batch:1..64,6]"
    assert ask(inferred, "batch_rows").status == "pass"


@pytest.mark.parametrize(
    ("name", "spec", "words"),
    [
        ("Sequential", "x=float32[16,4,6]", "gru (GRU) has batch_first=False"),
        ("Remembering", "x=float32[5,6]", "differ already: see the check repeatable"),
        ("quantised", "x=float32[5,6]", "one quantisation scale from the whole batch"),
    ],
)
def test_rows_that_depend_on_each_other_for_a_good_reason(name: str, spec: str, words: str) -> None:
    row = ask(bench(name, spec=spec), "batch_rows")
    assert row.status == "skip", row
    assert words in row.evidence
