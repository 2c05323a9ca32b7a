"""Healthy models that no check may accuse: parts that cannot be compared, time first, hidden state, int8."""

from __future__ import annotations

import pytest
import torch

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


@pytest.mark.parametrize("question", ["repeatable", "reload", "hidden_state", "threads"])
def test_where_nothing_can_be_compared_the_question_is_not_answered_and_never_held(question: str) -> None:
    row = ask(bench("OpaqueOnly"), question)
    assert (row.status, "output (" in row.evidence, "--skip" in row.remedy) == ("error", True, True), row


@pytest.mark.parametrize(("question", "status"), [("repeatable", "fail"), ("hidden_state", "fail"), ("finite", "pass")])
def test_sparse_answers_are_judged(question: str, status: str) -> None:
    assert ask(bench("SparseMoody"), question).status == status


@pytest.mark.parametrize("question", ["batch_rows", "batch_sizes"])
def test_rows_of_a_sparse_answer_are_laid_beside_each_other(question: str) -> None:
    row = ask(bench("SparseRows"), question)
    assert row.status == "pass", row
    assert "identical bits" in row.evidence or "within the noise" in row.evidence
    assert ask(bench("SparseCoupled"), question).status == "fail"


def test_sparse_answers_that_store_nan_are_not_finite() -> None:
    row = ask(bench("SparseNan"), "finite")
    assert (row.status, "NaN" in row.evidence) == ("fail", True), row


@pytest.mark.parametrize("question", ["batch_rows", "batch_sizes", "repeatable", "dtype_device"])
def test_a_number_beside_tensors_hinders_no_check(question: str) -> None:
    row = ask(bench("Scored"), question)
    assert row.status == "pass", row
    assert "float64" not in row.evidence


def test_a_fresh_model_is_made_in_the_default_dtype_of_before_the_forward() -> None:
    try:
        row = ask(bench("DefaultDouble"), "reload")
    finally:
        torch.set_default_dtype(torch.float32)
    assert row.status == "pass", row


def test_rows_of_a_vast_answer_are_compared_though_larger_batches_are_thinned_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("workbench.worker.judge.taken.VAST", 500)
    for question in ("batch_rows", "batch_sizes"):
        row = ask(bench("Wide"), question)
        assert (row.status, "Evenly spread" in row.evidence) == ("pass", True), row
        assert ask(bench("WideCoupled"), question).status == "fail"


@pytest.mark.parametrize("question", ["graph_free", "finite"])
def test_what_was_not_looked_at_is_said(question: str) -> None:
    row = ask(bench("Opaque"), question)
    assert (row.status, "Not looked at: " in row.evidence) == ("pass", True), row
    assert "output['cache'] (Cache is no tensor" in row.evidence


def test_a_graph_within_an_object_is_found() -> None:
    row = ask(bench("GraphWithin"), "graph_free")
    assert (row.status, "output[1].t" in row.evidence) == ("fail", True), row


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
