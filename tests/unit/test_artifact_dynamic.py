"""Sizes that are to be free: several by name, what a line of the code takes away, and what to do about it."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from unittest.mock import patch

import pytest

from tests.unit import artifact_bench, dynamic_models
from tests.unit.artifact_bench import proven, quiet_job, row, write_manifest
from workbench.protocol.artifacts import Constraint, Made
from workbench.protocol.codec import from_plain, plain
from workbench.protocol.failures import WorkbenchError
from workbench.protocol.messages import MakeArtifact
from workbench.protocol.model import Recipe
from workbench.report.bundle import render_report
from workbench.worker.artifact import bundle
from workbench.worker.artifact.constraints import only_multiples
from workbench.worker.artifact.export_errors import Guard

FILE = Path(dynamic_models.__file__)

X = "x=float32[batch:1..64,seq:1..128,4]"


def line_of(text: str) -> int:
    return next(number for number, line in enumerate(FILE.read_text().splitlines(), 1) if text in line)


def make(stage: Path, name: str, *inputs: str, kind: str = "export") -> Made:
    with patch.object(bundle, "_speed", return_value=None):
        wanted = MakeArtifact(Recipe(f"{FILE}:{name}", inputs=inputs), kind, str(stage))
        made = bundle.make_artifact(wanted, quiet_job())
    write_manifest(stage, made.manifest)
    return made


def only(made: Made) -> Constraint:
    assert len(made.worklist) == 1, made.worklist
    return made.worklist[0]


def test_several_dimensions_stay_free_with_their_declared_ranges(tmp_path: Path) -> None:
    made = make(tmp_path, "Free", X)
    assert made.dynamic == ("x[0] = batch in [1, 64]", "x[1] = seq in [1, 128]")
    assert (made.static, made.worklist) == ((), ())
    assert proven(tmp_path).verdict == "pass"


def test_one_name_is_one_dimension_in_every_input(tmp_path: Path) -> None:
    made = make(tmp_path, "Pairs", X, X.replace("x=", "y="))
    assert [one.split(" in ")[0] for one in made.dynamic] == [
        "x[0] = batch",
        "x[1] = seq",
        "y[0] = batch",
        "y[1] = seq",
    ]
    assert made.worklist == ()
    assert proven(tmp_path).verdict == "pass"


def test_two_names_that_the_code_makes_one_are_a_row_with_the_line(tmp_path: Path) -> None:
    made = make(tmp_path, "Pairs", X, "y=float32[batch:1..64,other:1..128,4]")
    found = only(made)
    assert (found.name, found.places, found.became, found.expression) == ("other", ("y[1]",), "seq", "Eq(seq, other)")
    assert found.where == f"dynamic_models.py:{line_of('return self.fc(x) + y')}"
    assert "--input 'y=float32[batch:1..64,seq:1..128,4]'" in found.remedy
    evidence = row(proven(tmp_path), "sizes")  # eager takes a length of 1 beside any other
    assert evidence.status == "fail"
    assert "y.size()[1] == x.size()[1]" in evidence.evidence


def test_a_branch_on_a_size_narrows_one_dimension_and_leaves_the_other_alone(tmp_path: Path) -> None:
    made = make(tmp_path, "Short", X)
    assert made.dynamic == ("x[0] = batch in [1, 64]", "x[1] = seq in [1, 64]")
    found = only(made)
    assert (found.wanted, found.became, found.expression) == ("1..128", "1..64", "seq <= 64")
    assert (found.line, found.values) == ("if x.shape[1] > 64:", "batch = 4, seq = 4")
    assert "torch.cond" in found.remedy
    assert "seq:1..64" in found.remedy
    proof = proven(tmp_path)  # 128 was declared
    assert (proof.verdict, row(proof, "sizes").status) == ("fail", "fail")


def test_what_the_remedy_says_to_declare_is_proven(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir()
    second.mkdir()
    remedy = only(make(first, "Short", X)).remedy
    made = make(second, "Short", remedy.split("--input '")[1].split("'")[0])
    assert made.worklist == ()
    assert proven(second).verdict == "pass"


def test_a_constant_is_a_row_and_is_said_among_what_is_static(tmp_path: Path) -> None:
    made = make(tmp_path, "Pinned", X)
    number = line_of("length = len(")
    assert made.dynamic == ("x[0] = batch in [1, 64]",)
    assert made.static[0].startswith(f"x[1] = 4: dynamic_models.py:{number}: ")
    found = only(made)
    assert (found.became, found.expression, found.where) == ("4", "Eq(seq, 4)", f"dynamic_models.py:{number}")
    assert "x=float32[batch:1..64,4,4]" in found.remedy


def test_a_line_that_serves_multiples_only_is_said_to(tmp_path: Path) -> None:
    found = only(make(tmp_path, "Quarters", "x=float32[batch:1..16,seq:4..40,4]"))
    assert (found.became, found.line) == ("4", "return self.fc(x).reshape(rows, seq // 4, 4, 4).amax(2)")
    assert found.remedy == (
        "The line serves multiples of 4 only, of which torch keeps 4: declare the one size, "
        "--input 'x=float32[batch:1..16,4,4]', and pad seq to it."
    )


@pytest.mark.parametrize(
    ("expression", "times"),
    [
        ("Eq(5*t*batch, 20*batch*((t//4)))", 4),
        ("Eq(20*batch*((t//4)), 5*batch*t)", 4),
        ("Eq(t, 2*((t//2)))", 2),
        ("Eq(5*t, 5*((t//4)))", 0),
        ("Eq(t, 4*((s//4)))", 0),
        ("Eq(t, 4)", 0),
        ("Eq(t + 1, 4*((t//4)))", 0),
        ("4*((t//4)) < t", 0),
    ],
)
def test_which_lines_serve_multiples_only(expression: str, times: int) -> None:
    assert only_multiples("t", Guard(expression, "", "")) == times


def test_a_failed_export_prints_no_graph_and_keeps_it_for_who_asks(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(WorkbenchError) as caught:
        make(tmp_path, "Twice", "x=float32[3]")
    assert "def forward" not in "".join(capfd.readouterr())
    assert "torch.ops.aten.sum" in caught.value.failure.details


def test_a_declared_batch_that_became_a_constant_is_refused_with_the_line(tmp_path: Path) -> None:
    made = make(tmp_path, "Rows", X)
    assert only(made).became == "4"
    proof = proven(tmp_path)
    sizes = row(proof, "sizes")
    assert (proof.verdict, sizes.status) == ("fail", "fail")
    assert "only, where batch 1..64 was declared, which eager serves" in sizes.evidence
    assert f"batch became 4 (dynamic_models.py:{line_of('rows = len(')}" in sizes.cause
    assert sizes.remedy == only(made).remedy


def test_the_line_is_found_though_the_user_s_code_has_disabled_all_loggers(tmp_path: Path) -> None:
    logger = logging.getLogger("torch.fx.experimental.symbolic_shapes")
    logger.disabled = True
    try:
        assert only(make(tmp_path, "Rows", X)).expression == "Eq(batch, 4)"
        assert logger.disabled
    finally:
        logger.disabled = False


def test_a_batch_that_nobody_declared_may_become_a_constant(tmp_path: Path) -> None:
    make(tmp_path, "Rows", "x=float32[4,6,4]")
    proof = proven(tmp_path)
    assert proof.verdict == "pass"
    assert row(proof, "sizes").evidence == "batch 4 only: the artifact serves 4 rows only"


def test_declared_rows_that_eager_itself_refuses_are_not_held_against_the_artifact(tmp_path: Path) -> None:
    made = make(tmp_path, "AtMost", "x=float32[batch:1..64,6,4]")
    assert only(made).became == "1..8"
    proof = proven(tmp_path)
    assert proof.verdict == "pass", proof.checks


def test_a_dimension_of_even_sizes_stays_free(tmp_path: Path) -> None:
    made = make(tmp_path, "Even", X)
    assert made.dynamic[1].startswith("x[1] = seq in [2, 128]")
    assert only(made).became == "2*k"
    assert only(made).remedy.startswith("It serves multiples of 2, from 4 on for sure: ")
    assert proven(tmp_path).verdict == "pass"


def test_of_even_sizes_it_says_which_are_served_and_what_to_declare(tmp_path: Path) -> None:
    made = make(tmp_path, "Halved", "x=float32[batch:1..8,seq:2..17,4]")
    declared = "x=float32[batch:1..8,seq:4..16,4]"
    assert only(made).remedy == (
        f"It serves multiples of 2, from 4 on for sure: declare that, --input '{declared}', pad seq to one of them, "
        "or mend the line."
    )
    found = row(proven(tmp_path), "sizes")
    assert (found.status, found.remedy) == ("fail", only(made).remedy)
    assert found.cause.startswith("seq became 2*k (dynamic_models.py:")  # and not the batch of the same cases
    again = tmp_path / "again"
    again.mkdir()
    make(again, "Halved", declared)
    assert proven(again).verdict == "pass"


def test_the_worklist_is_in_manifest_report_and_on_the_wire(tmp_path: Path) -> None:
    made = make(tmp_path, "Pinned", X)
    assert from_plain(Made, json.loads(json.dumps(plain(made)))).worklist == made.worklist
    assert json.loads((tmp_path / "manifest.json").read_text())["worklist"][0]["expression"] == "Eq(seq, 4)"
    report = render_report(made, proven(tmp_path))
    assert "## Worklist: sizes that were to be free" in report
    assert "Eq(seq, 4)" in report


def test_every_line_that_depends_on_the_data_is_listed(tmp_path: Path) -> None:
    with pytest.raises(WorkbenchError) as caught:
        make(tmp_path, "Twice", X)
    failure = caught.value.failure
    assert "one of 2 such lines" in failure.message
    first, second = failure.difference.splitlines()
    assert first.startswith(f"dynamic_models.py:{line_of('y = x + 1 if')}: `y = x + 1")
    assert second.startswith(f"dynamic_models.py:{line_of('torch.ones(int')}: ")
    assert "for the example" in first


@pytest.mark.parametrize("name", ["AnyName", "AnyNameAlone"])
@pytest.mark.parametrize("kind", ["export", "onnx"])
def test_what_forward_takes_under_any_name_stays_free_too(tmp_path: Path, name: str, kind: str) -> None:
    """torch.export has no dynamic shapes for `**kwargs`."""
    if kind == "onnx":
        pytest.importorskip("onnxruntime", reason="the extra [onnx] is not installed")
        pytest.importorskip("onnxscript", reason="the extra [onnx] is not installed")
    made = artifact_bench.make(tmp_path, name, kind, ("x=float32[batch:1..9,5]", "scale=float32[batch:1..9,1]{0.5..2}"))
    assert made.dynamic == ("x[0] = batch in [1, 9]", "scale[0] = batch in [1, 9]")
    assert made.worklist == ()
    proof = proven(tmp_path)
    assert artifact_bench.failed(proof) == set()
    assert {case["batch"] for case in made.manifest["cases"]} >= {1, 9}
