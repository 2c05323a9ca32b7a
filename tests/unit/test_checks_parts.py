"""Answers of which a part cannot be compared: the rest is judged, and the part is named."""

from __future__ import annotations

import pytest

from tests.unit.test_checks import ask, bench


@pytest.mark.parametrize("question", ["repeatable", "reload"])
def test_a_part_that_cannot_be_compared_accuses_no_healthy_model(question: str) -> None:
    row = ask(bench("Opaque"), question)
    assert row.status == "pass", row
    assert "Not compared:" in row.evidence
    assert "output['sparse'] (" in row.evidence
    assert "output['cache'] (Cache is no tensor" in row.evidence


def test_the_comparable_part_is_judged() -> None:
    row = ask(bench("OpaqueMoody"), "repeatable")
    assert row.status == "fail"
    assert "output['y'] max|" in row.evidence


@pytest.mark.parametrize("question", ["repeatable", "reload"])
def test_nothing_comparable_is_a_skip(question: str) -> None:
    row = ask(bench("OpaqueOnly"), question)
    assert (row.status, "output (" in row.evidence) == ("skip", True), row
