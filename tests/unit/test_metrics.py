"""A person's own numbers: called once a case, held to a limit, their errors said with the line."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from workbench.client.outside import parse_metrics
from workbench.protocol.failures import WorkbenchError
from workbench.protocol.outside import Metric
from workbench.worker.judge.leaves import flatten
from workbench.worker.judge.metrics import Metrics

SOURCE = """
import helper

def error(reference, candidate):
    return (reference["logits"] - candidate["logits"]).abs().max()

def agreement(reference, candidate):
    return helper.share(reference["logits"].argmax(-1) == candidate["logits"].argmax(-1))

def broken(reference, candidate):
    return reference["no such output"]

def nan(reference, candidate):
    return float("nan")

def spoils(reference, candidate):
    candidate["logits"].zero_()
    return 0
"""


@pytest.fixture
def file(tmp_path: Path) -> str:
    (tmp_path / "helper.py").write_text("def share(values):\n    return values.float().mean()\n")
    (tmp_path / "metrics.py").write_text(SOURCE)
    return str(tmp_path / "metrics.py")


def over_cases(*metrics: Metric, off: float = 0.5) -> Metrics:
    found = Metrics(metrics)
    for case in range(4):
        torch.manual_seed(case)
        logits = torch.randn(3, 5)
        moved = logits + off * case
        found.observe(case, flatten({"logits": logits}), flatten({"logits": moved}))
    return found


def test_the_worst_case_counts(file: str) -> None:
    held, broken = over_cases(Metric(file, "error", "<=", 1.6), Metric(file, "error", "<=", 1.0)).rows()
    assert (held.id, held.status) == ("metric:error", "pass")
    assert (broken.status, broken.cause) == ("fail", "1.5 in case 3")
    assert broken.evidence == "0 to 1.5, mean 0.75 over 4 cases; declared: <= 1"


def test_at_least_looks_at_the_smallest(file: str) -> None:
    (row,) = over_cases(Metric(file, "agreement", ">=", 1.0)).rows()
    assert row.status == "pass"


def test_without_a_limit_it_is_a_finding(file: str) -> None:
    found = over_cases(Metric(file, "agreement"))
    assert found.rows() == ()
    assert [(one.id, one.words) for one in found.findings()] == [("metric:agreement", "1 to 1, mean 1 over 4 cases")]


@pytest.mark.parametrize("relation", ["<=", ""])
def test_an_error_in_it_is_said_with_its_line(file: str, relation: str) -> None:
    (row,) = over_cases(Metric(file, "broken", relation, 1.0)).rows()
    assert row.status == "error"
    assert row.evidence == "case 0: metrics.py:11: KeyError: 'no such output'"


def test_nan_holds_no_limit(file: str) -> None:
    for relation in ("<=", ">="):
        (row,) = over_cases(Metric(file, "nan", relation, 1.0)).rows()
        assert (row.status, row.cause) == ("fail", "nan in case 0")


def test_what_it_does_to_its_arguments_is_its_own(file: str) -> None:
    (row,) = over_cases(Metric(file, "spoils"), Metric(file, "error", "<=", 0.0), off=0.0).rows()
    assert row.status == "pass"


@pytest.mark.parametrize(("name", "words"), [("missing", "has no function missing"), ("SOURCE", "has no function")])
def test_a_function_that_is_not_there(file: str, name: str, words: str) -> None:
    (row,) = over_cases(Metric(file, name, "<=", 1.0)).rows()
    assert row.status == "error"
    assert words in row.evidence


def test_a_file_that_cannot_be_run(tmp_path: Path) -> None:
    (tmp_path / "bad.py").write_text("x = 1\nx = = 2\n")
    (row,) = over_cases(Metric(str(tmp_path / "bad.py"), "f", "<=", 1.0)).rows()
    assert row.status == "error"
    assert "SyntaxError" in row.evidence


def test_how_it_is_written_on_the_command_line(file: str) -> None:
    assert parse_metrics((f"{file}:error<=0.01", f"{file}:agreement >= 1e-2", f"{file}:nan")) == (
        Metric(file, "error", "<=", 0.01),
        Metric(file, "agreement", ">=", 0.01),
        Metric(file, "nan"),
    )


@pytest.mark.parametrize("text", ["metrics.py", "a.txt:f", "{}:f<=", "{}:f<=abc", "{}:f<3", "{}:f<=nan", "no.py:f"])
def test_what_is_no_metric_is_a_usage_error(file: str, text: str) -> None:
    with pytest.raises(WorkbenchError) as caught:
        parse_metrics((text.format(file),))
    assert caught.value.failure.kind == "usage"


@pytest.mark.parametrize(
    ("source", "words"),
    [
        (SOURCE, "has no function f: it has agreement, broken, error, nan, spoils"),
        ("x = 1\ny = = 2\n", "cannot be read as Python, line 2"),
        ("", "has no function f: it has no function"),
        ("def g(a, b):\n    return len('f')\n", "has no function f: it has g"),
    ],
)
def test_a_function_that_is_not_there_is_known_before_anything_runs(tmp_path: Path, source: str, words: str) -> None:
    (tmp_path / "number.py").write_text(source)
    with pytest.raises(WorkbenchError) as caught:
        parse_metrics((f"{tmp_path / 'number.py'}:f<=1",))
    assert caught.value.failure.kind == "usage"
    assert words in caught.value.failure.message


@pytest.mark.parametrize(
    "source",
    [
        "def f(a, b): ...",
        "f = lambda a, b: 0",
        "from math import hypot as f",
        "import f",
        "if True:\n    class f: ...",
        "for f in [max]: pass",
        "from math import *",
        "globals()['f'] = max",
        "def __getattr__(name): return max",
    ],
)
def test_a_function_that_may_be_there_is_left_to_the_worker(tmp_path: Path, source: str) -> None:
    (tmp_path / "number.py").write_text(source)
    (metric,) = parse_metrics((f"{tmp_path / 'number.py'}:f",))
    assert metric.function == "f"


def test_a_limit_without_a_number_holds_nothing(file: str) -> None:
    found = Metrics([Metric(file, "error", "<=", 1.0), Metric(file, "agreement")])
    (row,) = found.rows()
    assert (row.status, row.evidence) == ("error", "it has no number: no case was answered by both sides")
    assert found.rows(reached=False)[0].status == "skip"  # what stopped the proof is said in another row
    assert [one.words for one in found.findings()] == ["it has no number: no case was answered by both sides"]
