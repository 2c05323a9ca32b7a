"""A check does not fail for what is another check's matter, and says whose it is."""

from __future__ import annotations

import pytest

from tests.corpus import faults_misleading
from tests.corpus.engine import quiet_job, stand
from workbench.protocol.messages import Check
from workbench.protocol.model import Recipe
from workbench.worker.judge.checks import check


@pytest.mark.parametrize(
    ("name", "question", "words"),
    [
        ("LaterOtherwise", "batch_rows", "What calls leave behind: body.mid.calls (0 → "),
        ("LaterOtherwise", "batch_sizes", "What calls leave behind: body.mid.calls (0 → "),
        ("KeepsBySize", "batch_sizes", "What calls leave behind: body.mid.kept"),
        ("DrawsWhereNegative", "batch_rows", "as many random numbers (torch) as its values ask for"),
    ],
)
def test_another_fault_is_no_coupling_of_rows(name: str, question: str, words: str) -> None:
    specs = ("x=float32[batch:2..16,6]",)
    on = stand(Recipe(f"{faults_misleading.__file__}:net", kwargs={"name": name}, inputs=specs))
    row = check(on.bench, on.runs, Check(question, 20.0), quiet_job())
    assert row.status == "skip", row
    assert words in row.evidence
