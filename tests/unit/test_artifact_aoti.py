"""AOTInductor packages: compiled here, proven where a death would hurt nobody, and asked what they refuse."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.unit.artifact_bench import make, proven, row, write_manifest
from workbench.protocol.failures import WorkbenchError
from workbench.worker.artifact import bundle
from workbench.worker.artifact.guards_apart import _apart_finding

needs_compiler = pytest.mark.skipif(shutil.which("g++") is None, reason="AOTInductor needs g++, which is not here")


@needs_compiler
@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_package_is_proven_and_its_guards_are_told(tmp_path: Path) -> None:
    made = make(tmp_path, "Net", "aoti", ("x=float32[rows:1..9,5]{-50..50}",))
    proof = proven(tmp_path)
    assert proof.verdict == "pass", proof.checks
    assert row(proof, "train_ops").status == "skip"
    assert row(proof, "weights_match").status == "pass"
    assert "the same from transposed, strided, expanded inputs" in row(proof, "repeat").evidence
    assert "compiled code sums in longer rows" in proof.yardstick_reason
    guards = next(one for one in proof.findings if one.id == "guards")
    assert "AOTI_RUNTIME_CHECK_INPUTS=1 it refuses" in guards.words
    assert "of memory layouts it refuses transposed inputs, strided inputs, expanded inputs" in guards.words
    assert not (tmp_path / "compiling").exists()

    path = tmp_path / made.file
    path.write_bytes(path.read_bytes()[:2000])
    write_manifest(tmp_path, made.manifest)
    assert proven(tmp_path).verdict == "error"


@needs_compiler
@pytest.mark.slow
@pytest.mark.timeout(600)
def test_an_input_that_is_written_to_is_not_copied_and_said_to_need_its_layout(tmp_path: Path) -> None:
    made = make(tmp_path, "Writes", "aoti")
    finding = next(one for one in made.findings if one.id == "layouts")
    assert finding.words.startswith("x must be laid out in memory as in the example")
    proof = proven(tmp_path)
    assert proof.verdict == "pass", proof.checks  # the caller sees what is written, as from eager
    told = [one.words for one in proof.findings if one.id == "layouts"]
    assert len(told) == 1
    assert told[0].startswith("needs contiguous inputs, and reads others as if they were (transposed inputs: ")


@needs_compiler
@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_long_mean_of_even_numbers_is_as_exact_as_eagers(tmp_path: Path) -> None:
    make(tmp_path, "Pooled", "aoti", ("x=float32[batch:1..8,4,64,64]",))
    proof = proven(tmp_path)
    assert proof.verdict == "pass", proof.checks
    assert proof.noise_multiple < 1.5


def test_no_compiler_is_said_before_the_model_is_built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(bundle._UNAVAILABLE, "aoti", lambda: "there is no compiler")
    monkeypatch.setattr(bundle, "build", lambda *given: pytest.fail("the model was built"))
    with pytest.raises(WorkbenchError) as caught:
        make(tmp_path, "Net", "aoti")
    assert caught.value.failure.kind == "usage"
    assert "no compiler" in caught.value.failure.message


def test_what_it_refuses_inside_its_own_contract_decides_the_advice() -> None:
    outside = [["outside", "asking", "a wrong rank"], ["outside", "refuses", "a wrong rank"]]
    served = [*outside, ["inside", "asking", "batch 1"], ["inside", "answers", "batch 1"]]
    found = _apart_finding(served, 0)
    assert found is not None
    assert "every size of the contract is served" in found.words
    assert found.remedy.startswith("Deploy it with AOTI_RUNTIME_CHECK_INPUTS=1")
    layouts = [*served, ["layout", "asking", "strided inputs"], ["layout", "refuses", "strided inputs"]]
    found = _apart_finding(layouts, 0)
    assert found is not None
    assert found.words.endswith("of memory layouts it refuses strided inputs")
    assert found.remedy.endswith("Give it contiguous inputs then.")
    stricter = [*outside, ["inside", "asking", "batch 1"], ["inside", "refuses", "batch 1"]]
    found = _apart_finding(stricter, 0)
    assert found is not None
    assert "also refuses batch 1" in found.words
    assert found.remedy.startswith("Deploy it without")


def test_a_question_that_kills_the_process_is_named() -> None:
    found = _apart_finding([["outside", "asking", "a wrong rank"]], -11)
    assert found is not None
    assert "dies of a wrong rank" in found.words
    nothing = _apart_finding([], -11)
    assert nothing is not None
    assert "exit code -11" in nothing.words
