"""The search for a counterexample finds rare branches, keeps them as cases and scripts, and accuses nobody healthy."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
import torch

from tests.unit import artifact_models, branch_models
from tests.unit.artifact_bench import failed, proven, quiet_job, row, write_manifest
from workbench.protocol.artifacts import Made, Proof
from workbench.protocol.messages import MakeArtifact, MakeGolden
from workbench.protocol.model import Recipe
from workbench.worker.artifact import bundle
from workbench.worker.artifact.clean import file_sha256

X = ("x=float32[4,5]",)
SECONDS = 30.0
"""Far more than any of these needs: a busy machine must not decide."""


def made_of(stage: Path, name: str, inputs: tuple[str, ...], kind: str = "trace", **kwargs: Any) -> Made:
    recipe = Recipe(f"{branch_models.__file__}:{name}", inputs=inputs, kwargs=kwargs)
    with patch.object(bundle, "_speed", return_value=None):
        made = bundle.make_artifact(MakeArtifact(recipe, kind, str(stage), search=SECONDS), quiet_job())
    write_manifest(stage, made.manifest)
    return made


def said(proof: Proof, finding: str) -> str:
    return next((one.words for one in proof.findings if one.id == finding), "")


@pytest.mark.parametrize(
    ("name", "inputs", "kwargs", "how"),
    [
        ("Rare", X, {"limit": 50_000.0}, "pushed to the other side of branch_models.py:"),
        ("Rare", ("x=float32[4,5]{-1..1}",), {"limit": 19.0}, "the highest value"),
        ("Peak", X, {"limit": 7_000.0}, "(if x.max() > limit:)"),
        ("Deep", X, {"limit": 7_000.0}, "(if flag:)"),
        ("Odd", ("x=float32[batch:1..30,5]",), {}, "batch 13"),
        ("Private", X, {"limit": 50_000.0}, "(if x.sum() > self.__limit:)"),
        ("Private", X, {"limit": 1e30, "other": 50_000.0}, "(if x.sum() > self.other:)"),
        ("Generated", X, {"limit": 50_000.0}, "(if x.sum() > self.limit:)"),
        ("Reads", ("ids=int64[4,6]{0..999}",), {}, "the highest value"),
    ],
)
def test_a_trace_that_baked_a_rare_branch_is_refused(
    tmp_path: Path, name: str, inputs: tuple[str, ...], kwargs: dict[str, float], how: str
) -> None:
    made = made_of(tmp_path, name, inputs, **kwargs)
    assert made.manifest["cases"][-1]["kind"] == "counterexample"
    proof = proven(tmp_path)
    assert "values" in failed(proof)
    assert how in said(proof, "counterexample")
    assert row(proof, "values").cause.startswith("where they part: eager computes branch_models.py:")
    assert "both sides of 1 of " in said(proof, "search")


def test_a_branch_that_cannot_be_watched_is_told_and_no_side_of_it_counts_as_reached(tmp_path: Path) -> None:
    made_of(tmp_path, "Unwatched", X)
    words = said(proven(tmp_path), "search")
    assert "both sides of 0 of 1 branch on the input; the other side was not reached at branch_models.py:" in words
    assert "no branch was watched in <lambda> (branch_models.py:" in words


@pytest.mark.parametrize("limit", [100.0, 7_000.0])
def test_a_side_that_eager_refuses_is_told_and_that_the_artifact_answers_there(tmp_path: Path, limit: float) -> None:
    made_of(tmp_path, "Guarded", X, limit=limit)
    proof = proven(tmp_path)
    words = said(proof, "search")
    assert proof.verdict == "pass"  # where eager has no answer the artifact has no wrong one
    assert (
        "both sides of 0 of 1 branch on the input; eager refuses what reaches the other side of branch_models.py:"
        in (words)
    )
    assert "(if x.abs().max() > self.limit:), and the artifact answers there" in words
    assert "not reached" not in words


def test_what_a_search_passes_through_on_its_way_is_asked(tmp_path: Path) -> None:
    made_of(tmp_path, "Band", X)
    proof = proven(tmp_path)
    assert "values" in failed(proof)
    assert "pushed to the other side of branch_models.py:" in said(proof, "counterexample")
    assert "(if 1e5 < x.sum() < 1e9:)" in said(proof, "counterexample")


def test_a_side_that_has_no_float64_answer_is_found_all_the_same(tmp_path: Path) -> None:
    made = made_of(tmp_path, "Strict", X)
    assert made.manifest["cases"][-1]["kind"] == "counterexample"
    assert "values" in failed(proven(tmp_path))


def test_the_fixed_cases_alone_let_it_pass(tmp_path: Path) -> None:
    recipe = Recipe(f"{branch_models.__file__}:Rare", inputs=X, kwargs={"limit": 50_000.0})
    with patch.object(bundle, "_speed", return_value=None):
        made = bundle.make_artifact(MakeArtifact(recipe, "trace", str(tmp_path), search=0.0), quiet_job())
    write_manifest(tmp_path, made.manifest)
    proof = proven(tmp_path)
    assert proof.verdict == "pass"
    assert said(proof, "search") == "no search for a counterexample: --search 0"


@pytest.mark.parametrize("kind", ["trace", "export"])
def test_a_healthy_artifact_is_not_accused_and_the_coverage_is_told(tmp_path: Path, kind: str) -> None:
    made_of(tmp_path, "Healthy", X, kind)
    proof = proven(tmp_path)
    assert proof.verdict == "pass"
    assert said(proof, "search").startswith("found no counterexample in 400 inputs in ")
    assert not (tmp_path / "counterexample.py").exists()


def test_a_side_that_no_input_of_the_contract_reaches_is_told_with_its_line(tmp_path: Path) -> None:
    made_of(tmp_path, "Rare", ("x=float32[batch:1..8,5]{-1..1}",), limit=41.0)
    proof = proven(tmp_path)
    assert proof.verdict == "pass"
    words = said(proof, "search")
    assert "both sides of 0 of 1 branch on the input; the other side was not reached at branch_models.py:" in words
    assert "(if x.sum() > self.limit:)" in words


def test_the_script_shows_both_answers_with_torch_alone(tmp_path: Path) -> None:
    made = made_of(tmp_path, "Odd", ("x=float32[batch:1..30,5]",))
    write_manifest(tmp_path, made.manifest, "files")
    script = [sys.executable, "-I", str(tmp_path / "counterexample.py")]
    done = subprocess.run(script, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stderr
    assert "x: float32[13, 5]" in done.stdout
    assert "eager    output: float32[13, 5]" in done.stdout
    assert "artifact output: float32[13, 5]" in done.stdout
    assert done.stdout.endswith("they part\n")
    names = {path.name for path in tmp_path.iterdir()}
    assert "__pycache__" not in names  # its own digests still hold
    proof = subprocess.run(
        [sys.executable, "-I", str(tmp_path / "verify.py")], capture_output=True, text=True, check=False
    )
    assert proof.returncode == 1
    assert "note  counterexample" in proof.stdout

    for planted in ("argparse.py", "os.py", "verify/__init__.py"):  # files beside a script come first in Python
        (tmp_path / planted).parent.mkdir(exist_ok=True)
        (tmp_path / planted).write_text("import sys\nsys.stdout.write('they agree')\nsys.exit(0)\n")
        script = [sys.executable, "counterexample.py"]
        done = subprocess.run(script, capture_output=True, text=True, check=False, cwd=tmp_path)
        assert (done.returncode, f"{planted}: not in the manifest" in done.stdout) == (1, True), done.stderr
        assert "agree" not in done.stdout
        (tmp_path / planted).unlink()
    (tmp_path / "verify").rmdir()
    path = tmp_path / made.file
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    done = subprocess.run(script, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert (done.returncode, f"{made.file}: sha256" in done.stdout) == (1, True), done.stderr
    assert "they part" not in done.stdout


def test_what_does_not_repeat_is_not_searched(tmp_path: Path) -> None:
    recipe = Recipe(f"{artifact_models.__file__}:Counting", inputs=X)
    with patch.object(bundle, "_speed", return_value=None):
        made = bundle.make_artifact(MakeArtifact(recipe, "trace", str(tmp_path), search=SECONDS), quiet_job())
    assert made.manifest["search"]["words"] == "no search for a counterexample: the model does not repeat"


@pytest.mark.parametrize("trusted", [True, False])
def test_somebody_elses_artifact_is_searched_once_its_bytes_are_trusted(tmp_path: Path, trusted: bool) -> None:
    torch.manual_seed(0)
    model = branch_models.Odd().eval()
    path = tmp_path / "theirs.pt"
    torch.jit.save(torch.jit.trace(model, torch.randn(4, 5), check_trace=False), str(path))
    stage = tmp_path / "stage"
    stage.mkdir()
    digest = file_sha256(path)[0] if trusted else ""
    recipe = Recipe(f"{branch_models.__file__}:Odd", inputs=("x=float32[batch:1..30,5]",))
    made = bundle.make_golden(MakeGolden(recipe, str(path), digest, str(stage), search=SECONDS), quiet_job())
    assert ("search" in made.manifest) == trusted
    write_manifest(stage, made.manifest)
    proof = proven(stage)
    assert (proof.verdict == "fail") == trusted
    assert (row(proof, "sizes").status == "fail") == trusted


def test_the_model_and_the_threads_are_as_before(tmp_path: Path) -> None:
    threads, code = torch.get_num_threads(), branch_models.Odd.forward.__code__
    made_of(tmp_path, "Odd", ("x=float32[batch:1..30,5]",))
    assert torch.get_num_threads() == threads
    assert branch_models.Odd.forward.__code__ is code
