"""Whatever the face: only what was compared is called proven."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest
from rich.console import Console

from tests.unit.pane_records import proof
from workbench.cli.tables import show_proof
from workbench.protocol.artifacts import CheckRow
from workbench.protocol.proven import UNCOMPARED, check_verdict, compared, proof_words


def rows(*statuses: str) -> list[CheckRow]:
    return [CheckRow(str(place), status, "") for place, status in enumerate(statuses)]


@pytest.mark.parametrize(
    ("statuses", "verdict"),
    [("pass skip", "pass"), ("pass fail", "fail"), ("pass error", "error"), ("fail error skip", "error"), ("", "pass")],
)
def test_what_could_not_be_answered_weighs_more_than_a_no(statuses: str, verdict: str) -> None:
    assert check_verdict(rows(*statuses.split())) == verdict


def test_no_case_is_never_proven() -> None:
    held = proof()
    assert proof_words(held) == "proven"
    assert proof_words(replace(held, cases=0)) == UNCOMPARED
    assert not compared(replace(held, cases=0))
    assert proof_words(replace(held, verdict="fail")) == "refused"
    assert proof_words(replace(held, verdict="error")) == "could not be proven"


@pytest.mark.parametrize(
    ("cases", "verdict", "last"),
    [
        (16, "pass", "≈ proven: 16 cases by float64, torch 2.13.0, 8.2 s"),
        (0, "pass", f"≈ {UNCOMPARED}: torch 2.13.0, 8.2 s"),
        (16, "fail", "✗ refused: 16 cases by float64, torch 2.13.0, 8.2 s"),
        (0, "error", "! could not be proven: torch 2.13.0, 8.2 s"),
    ],
)
def test_on_the_command_line(cases: int, verdict: str, last: str) -> None:
    out = Console(file=io.StringIO(), width=200)
    show_proof(out, replace(proof(verdict), cases=cases))
    assert out.file.getvalue().splitlines()[-1] == last  # type: ignore[attr-defined]
