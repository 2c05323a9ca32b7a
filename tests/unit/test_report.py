"""Records as JSON objects, JUnit and Markdown: golden, because other programs read them."""

from __future__ import annotations

import json
from xml.etree import ElementTree

import pytest

from workbench.protocol.artifacts import CheckRow, Proof
from workbench.protocol.failures import Failure
from workbench.report import numbers
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


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: numbers.size(0), "0 B"),
        (lambda: numbers.size(1023), "1023 B"),
        (lambda: numbers.size(44 * 2**20), "44.0 MB"),
        (lambda: numbers.size(-3 * 2**20), "-3.0 MB"),
        (lambda: numbers.size(1023.9 * 2**20), "1.0 GB"),
        (lambda: numbers.count(11_700_000), "11.7 M"),
        (lambda: numbers.count(940), "940"),
        (lambda: numbers.count(999_999), "1.0 M"),
        (lambda: numbers.duration(0.0123), "12.3 ms"),
        (lambda: numbers.duration(0.0), "0 s"),
        (lambda: numbers.duration(2.05e-5), "20.5 µs"),
        (lambda: numbers.duration(0.99999), "1.0 s"),
        (lambda: numbers.clock(41.9), "00:41"),
        (lambda: numbers.clock(3723), "1:02:03"),
        (lambda: numbers.value(0.0), "0"),
        (lambda: numbers.value(float("inf")), "∞"),
        (lambda: numbers.multiple(1.06), "1.1×"),
        (lambda: numbers.share(3, 40), "3 of 40 (7.5 %)"),
        (lambda: numbers.share(0, 0), "0 of 0"),
    ],
)
def test_numbers_as_people_read_them(call: object, words: str) -> None:
    assert call() == words  # type: ignore[operator]
