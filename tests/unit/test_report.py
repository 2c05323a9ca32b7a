"""Records as JSON objects, JUnit and Markdown: golden, because other programs read them."""

from __future__ import annotations

import json
from xml.etree import ElementTree

import pytest

from workbench.protocol.artifacts import CheckRow, Proof
from workbench.protocol.failures import Failure
from workbench.report.checks import junit, markdown
from workbench.report.objects import check_verdict, failure_object, proof_object

ROWS = (
    CheckRow("modes", "pass", "every module is in eval", seconds=0.25),
    CheckRow("repeatable", "fail", "3 of 4 runs | differ", "drop <Dropout>", "--mode drop=eval", 0.5),
    CheckRow("batch_rows", "skip", "no leaf scales with the batch"),
    CheckRow("reload", "error", "ran out of time"),
)


def test_markdown() -> None:
    assert markdown("m.py:Net", ROWS) == (
        "# workbench check m.py:Net\n\nVerdict: **error**\n\n"
        "| check | status | evidence | cause | remedy |\n|---|---|---|---|---|\n"
        "| modes | pass | every module is in eval |  |  |\n"
        "| repeatable | **FAIL** | 3 of 4 runs \\| differ | drop &lt;Dropout> | --mode drop=eval |\n"
        "| batch_rows | skipped | no leaf scales with the batch |  |  |\n"
        "| reload | **error** | ran out of time |  |  |\n"
    )


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
