"""What is said about calls outside a contract is said of a call that the artifact answers, changed in one thing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from tests.unit.artifact_bench import eager, row
from tests.unit.test_artifact_foreign import exported, verified
from workbench.protocol.artifacts import Proof
from workbench.worker.artifact.guards_apart import apart_main

BATCH = ("x=float32[batch:1..8,5]{-1..1}",)


def guards(proof: Proof) -> str:
    return next(one.words for one in proof.findings if one.id == "guards")


def test_every_question_changes_a_call_that_is_answered(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The first case has four rows, which this one refuses, whatever else is changed."""
    path = exported(eager("Affine"), tmp_path / "three.pt2", rows=3)
    proof = verified(path, "Affine", inputs=BATCH)
    assert "answers x = 3, above its range" in guards(proof)
    assert "refuses x as float32[1,3,5]" in guards(proof)
    assert "transposed" not in row(proof, "repeat").evidence  # eager was asked for the first case, which is refused
    capsys.readouterr()
    apart_main(tmp_path / "three.pt2.stage", "cpu", True, 0, base=_rows_of(tmp_path / "three.pt2.stage", 3))
    told = [json.loads(line) for line in capsys.readouterr().out.splitlines() if line.startswith("[")]
    plan = [words for _, words in told[0][2]]
    assert "x as float32[1,3,5]" in plan
    assert ["answers", plan.index("x = 3, above its range")] == next(one[:2] for one in told if one[0] == "answers")


def _rows_of(stage: Path, rows: int) -> int:
    cases = json.loads((stage / "manifest.json").read_text())["cases"]
    return next(index for index, case in enumerate(cases) if case["batch"] == rows)


def test_where_no_call_is_answered_nothing_is_said_to_be_guarded(tmp_path: Path) -> None:
    path = exported(eager("Affine"), tmp_path / "nine.pt2", rows=9)
    assert guards(verified(path, "Affine", inputs=BATCH)) == "could not be asked: no call of the contract is answered"


def test_what_answers_every_call_is_asked_with_the_first_case(tmp_path: Path) -> None:
    path = exported(eager("Affine"), tmp_path / "any.pt2", dynamic_shapes={"x": {0: torch.export.Dim.AUTO}})
    assert "refuses x as float32[1,4,5]" in guards(verified(path, "Affine", inputs=BATCH))
