"""Records as JSON objects, JUnit and Markdown: golden, because other programs read them."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.unit.tui_fake import INFO
from workbench.protocol.artifacts import CheckRow, Finding, Proof
from workbench.protocol.exits import Exit
from workbench.protocol.failures import Failure
from workbench.protocol.messages import Loaded
from workbench.protocol.model import Modes
from workbench.protocol.policy import Budgets, Policy
from workbench.protocol.proven import check_verdict
from workbench.report.checks import junit, markdown
from workbench.report.objects import check_object, failure_object, proof_object

ROWS = (
    CheckRow("modes", "pass", "every module is in eval", seconds=0.25),
    CheckRow("repeatable", "fail", "3 of 4 runs | differ", "drop <Dropout>", "--mode drop=eval", 0.5),
    CheckRow("batch_rows", "skip", "no leaf scales with the batch"),
    CheckRow("reload", "error", "ran out of time"),
)


FINDINGS = (
    CheckRow("modes", "pass", "All 7 modules are in eval mode.", seconds=0.25),
    CheckRow(
        "repeatable",
        "fail",
        "3 of 7 repeats differ: output max|Δ| 0.49.",
        "First to differ: drop (Dropout): dropout.",
        "Press e for eval (--mode eval).",
        0.5,
    ),
    CheckRow("batch_rows", "skip", "Not asked. (declared: batch_coupled, so rows may depend on each other)"),
    CheckRow(
        "threads",
        "pass",
        "8 threads, 160 calls at once: the serial answers, identical bits.",
        seconds=1.0,
        findings=(
            Finding("thread_grad_mode", "A thread of its own has grad mode on | <here>.", "Enter no_grad in it."),
        ),
    ),
    CheckRow("reload", "error", "Check did not end within 60 s.", "", "Raise --timeout.", 60.0),
    CheckRow("latency", "", "Measured.", findings=(Finding("latency", "Median 1.2 ms, p99 3 ms (2.5× the median)."),)),
)
POLICY = Policy(Budgets(peak_mib=512), batch_coupled=True, source="shop/pyproject.toml")


@pytest.mark.parametrize(("name", "make"), [("checks.md", markdown), ("checks.xml", junit)])
def test_reports_are_word_for_word(name: str, make: Callable[..., str]) -> None:
    assert make("m.py:Net", FINDINGS, POLICY) == golden(name)


def test_the_json_of_checks_is_word_for_word() -> None:
    loaded = Loaded(dataclasses.replace(INFO, seconds=0.0), Modes(training=False, grad="no_grad"))
    found = check_object(loaded, FINDINGS, Exit.ENGINE, POLICY)
    assert json.dumps(found, indent=2, ensure_ascii=False) + "\n" == golden("checks.json")


def golden(name: str) -> str:
    return (Path(__file__).parent / "golden" / name).read_text("utf-8")


def test_markdown_cells_hold_what_would_break_them() -> None:
    told = markdown("m.py:Net", ROWS)
    assert "| repeatable | **FAIL** | 3 of 4 runs \\| differ | drop &lt;Dropout> | --mode drop=eval |" in told


def test_junit() -> None:
    suite = ElementTree.fromstring(junit("m.py:Net", ROWS))
    assert {key: suite.get(key) for key in ("tests", "failures", "errors", "skipped", "time")} == {
        "tests": "4",
        "failures": "1",
        "errors": "1",
        "skipped": "1",
        "time": "0.750",
    }
    failed = suite.find("testcase[@name='repeatable']/failure")
    assert failed is not None
    assert failed.get("message") == "drop <Dropout>"
    assert failed.text == "3 of 4 runs | differ\ndrop <Dropout>\n--mode drop=eval"


@pytest.mark.parametrize(
    ("statuses", "verdict"),
    [(["pass"], "pass"), (["pass", "skip"], "pass"), (["pass", "fail"], "fail"), (["fail", "error"], "error")],
)
def test_the_verdict_of_checks(statuses: list[str], verdict: str) -> None:
    assert check_verdict(CheckRow("x", status, "") for status in statuses) == verdict


def test_a_failure_as_json() -> None:
    found = failure_object(Failure("weights", "does not fit", "net.pt", "--weights", "Traceback"))
    assert found == {
        "schema": 1,
        "verdict": "error",
        "error": {"kind": "weights", "message": "does not fit", "where": "net.pt", "remedy": "--weights"},
    }


def test_infinities_are_words_in_json() -> None:
    proof = Proof("fail", "beyond", (), (), (), 1, float("inf"), "float64", "", float("nan"), 0.0, "", "", True)
    found = json.loads(json.dumps(proof_object(proof), allow_nan=False))
    assert found["verdict"] == "fail"
    assert found["proof"]["noise_multiple"] == "Infinity"
    assert found["proof"]["seconds"] == "NaN"
