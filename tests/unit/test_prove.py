"""A proof passes what is right and refuses what is wrong, by the check that is meant for it."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

import pytest
import torch

from tests.unit.artifact_bench import MODELS, eager, failed, make, proven, quiet_job, replaced, row, write_manifest
from workbench.protocol.artifacts import PROOF_IDS
from workbench.protocol.messages import MakeArtifact, Prove
from workbench.protocol.model import Recipe
from workbench.protocol.runs import BEYOND, IDENTICAL
from workbench.worker.artifact import bundle
from workbench.worker.artifact.clean import SourceBlocker
from workbench.worker.artifact.prove_job import prove
from workbench.worker.job import Cancelled, Job

X = torch.zeros(4, 5)
KINDS = ("weights", "trace", "export")


@pytest.mark.parametrize("kind", KINDS)
def test_a_right_artifact_passes_every_check(tmp_path: Path, kind: str) -> None:
    make(tmp_path, "Net", kind)
    proof = proven(tmp_path)
    assert proof.verdict == "pass", [one for one in proof.checks if one.status != "pass"]
    assert tuple(one.id for one in proof.checks) == PROOF_IDS
    assert proof.mark == IDENTICAL
    assert proof.cases >= 16
    assert proof.clean
    assert proof.yardstick == "float64"
    assert [one.id for one in proof.checks if one.status == "skip"] == (["train_ops"] if kind == "weights" else [])
    assert ("guards" in {one.id for one in proof.findings}) == (kind != "weights")


@pytest.mark.parametrize("kind", ["trace", "export"])
def test_what_is_fed_from_outside_the_contract_is_reported(tmp_path: Path, kind: str) -> None:
    make(tmp_path, "Net", kind, ("x=float32[batch:1..8,5]",))
    words = next(one.words for one in proven(tmp_path).findings if one.id == "guards")
    unguarded = "answers batch 9 where at most 8 is declared" in words
    assert unguarded == (kind == "trace")
    assert "x as float64[4,5]" in words


def test_a_trace_that_baked_one_side_of_a_branch_is_refused_by_its_values(tmp_path: Path) -> None:
    made = make(tmp_path, "Branch", "trace")
    assert any("branch at artifact_models.py:" in one.words and "x.sum() > 0" in one.words for one in made.findings)
    proof = proven(tmp_path)
    assert proof.verdict == "fail"
    assert proof.mark == BEYOND
    assert row(proof, "values").status == "fail"
    assert "torch.where" in row(proof, "values").remedy
    assert row(proof, "sizes").status == "pass"  # it is not the size that makes the difference


def test_a_trace_that_baked_its_batch_is_refused_by_its_sizes(tmp_path: Path) -> None:
    make(tmp_path, "Loop", "trace")
    proof = proven(tmp_path)
    assert {"values", "sizes"} <= failed(proof)
    assert row(proof, "sizes").evidence == "values differ at batch 1, 2, 3, 5, 7, 17, not at 4"


@pytest.mark.parametrize("kind", ["trace", "export"])
def test_an_artifact_made_in_train_mode_is_refused_and_its_modules_named(tmp_path: Path, kind: str) -> None:
    make(tmp_path, "Net", kind, training=True)
    proof = proven(tmp_path)
    assert {"train_ops", "repeat", "values"} <= failed(proof)
    evidence = row(proof, "train_ops").evidence
    assert "drop: dropout p=0.5" in evidence
    assert "norm: batch_norm in train mode" in evidence


@pytest.mark.parametrize("kind", ["trace", "export"])
def test_a_train_mode_artifact_in_the_place_of_a_right_one_is_refused(tmp_path: Path, kind: str) -> None:
    made = make(tmp_path, "Net", kind)
    wrong = eager("Net").train()
    with torch.no_grad():
        program = (
            torch.jit.trace(wrong, X, check_trace=False)
            if kind == "trace"
            else torch.export.export(wrong, (X,), dynamic_shapes={"x": {0: torch.export.Dim("batch", min=1)}})
        )
    assert {"train_ops", "repeat", "values"} <= failed(replaced(tmp_path, made, program))


def test_a_batch_norm_without_running_statistics_is_no_train_mode(tmp_path: Path) -> None:
    make(tmp_path, "OwnStatistics", "trace")
    proof = proven(tmp_path)
    assert row(proof, "train_ops").status == "pass"
    assert proof.verdict == "pass"


def test_a_nan_that_eager_does_not_give_is_refused(tmp_path: Path) -> None:
    made = make(tmp_path, "Net", "trace")

    class Broken(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = eager("Net")

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y = self.inner(x)
            return torch.where(x[:, :1] < -50, torch.full_like(y, torch.nan), y)

    with torch.no_grad():
        proof = replaced(tmp_path, made, torch.jit.trace(Broken(), X, check_trace=False))
    assert "nonfinite" in failed(proof)
    assert "NaN" in row(proof, "nonfinite").evidence


def test_a_nan_that_eager_gives_too_is_right(tmp_path: Path) -> None:
    make(tmp_path, "Rooted", "export")
    proof = proven(tmp_path)
    assert proof.verdict == "pass"
    assert "at the same places as eager's" in row(proof, "nonfinite").evidence
    assert any(finding.id == "nonfinite" for finding in proof.findings)


@pytest.mark.parametrize("kind", ["trace", "export"])
def test_answers_of_nan_alone_prove_nothing(tmp_path: Path, kind: str) -> None:
    make(tmp_path, "Barren", kind)
    proof = proven(tmp_path)
    assert proof.verdict == "fail"
    assert "no finite number in any of" in row(proof, "nonfinite").evidence


@pytest.mark.parametrize("kind", ["trace", "export"])
def test_a_bias_that_is_off_by_a_thousandth_is_named(tmp_path: Path, kind: str) -> None:
    made = make(tmp_path, "Net", kind)
    wrong = eager("Net")
    with torch.no_grad():
        wrong.fc2.bias += 1e-3
        program = (
            torch.jit.trace(wrong, X, check_trace=False)
            if kind == "trace"
            else torch.export.export(wrong, (X,), dynamic_shapes={"x": {0: torch.export.Dim("batch", min=1)}})
        )
    proof = replaced(tmp_path, made, program)
    assert {"weights_match", "values"} <= failed(proof)
    assert "fc2.bias" in row(proof, "weights_match").evidence


def test_swapped_outputs_are_refused(tmp_path: Path) -> None:
    made = make(tmp_path, "Two", "trace")

    class Swapped(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
            return {"plus": x * 3, "times": x + 1}

    assert "values" in failed(replaced(tmp_path, made, torch.jit.trace(Swapped(), X, strict=False)))


def test_another_tree_shape_or_dtype_is_refused_by_the_structure(tmp_path: Path) -> None:
    made = make(tmp_path, "Net", "trace")

    class Wrong(torch.nn.Module):
        def __init__(self, change: Callable[[torch.Tensor], object]) -> None:
            super().__init__()
            self.net, self.change = eager("Net"), change

        def forward(self, x: torch.Tensor) -> object:
            return self.change(self.net(x))

    for change in (lambda y: (y,), lambda y: y[:, :2], lambda y: y.double()):
        with torch.no_grad():
            proof = replaced(tmp_path, made, torch.jit.trace(Wrong(change), X, check_trace=False))
        assert "structure" in failed(proof)
        assert proof.mark == BEYOND


@pytest.mark.parametrize("name", ["Noisy", "Counting", "Cloud"])
def test_a_model_that_does_not_repeat_never_passes(tmp_path: Path, name: str) -> None:
    made = make(tmp_path, name, "trace")
    assert "another answer" in made.manifest["not_comparable"]
    proof = proven(tmp_path)
    assert proof.verdict == "fail"
    assert row(proof, "values").evidence.startswith("not comparable")


def test_weights_are_compared_bit_by_bit_and_key_by_key(tmp_path: Path) -> None:
    from workbench.worker import tensorfile

    made = make(tmp_path, "Net", "weights")
    path = tmp_path / made.file
    tensors = tensorfile.load(str(path))
    tensorfile.save(str(path), {**tensors, "fc1.bias": tensors["fc1.bias"] + 1e-3})
    write_manifest(tmp_path, made.manifest)
    assert {"weights_match", "values"} <= failed(proven(tmp_path))
    tensorfile.save(str(path), {name: value for name, value in tensors.items() if name != "fc1.bias"})
    write_manifest(tmp_path, made.manifest)
    proof = proven(tmp_path)
    assert proof.verdict == "error"
    assert "fc1.bias is missing" in row(proof, "load").evidence


@pytest.mark.parametrize("kind", KINDS)
def test_an_artifact_that_is_cut_off_does_not_load_and_stops_the_rest(tmp_path: Path, kind: str) -> None:
    made = make(tmp_path, "Net", kind)
    path = tmp_path / made.file
    path.write_bytes(path.read_bytes()[: made.bytes // 2])
    write_manifest(tmp_path, made.manifest)
    proof = proven(tmp_path)
    assert proof.verdict == "error"
    assert row(proof, "load").status == "error"
    assert made.file in row(proof, "load").evidence
    assert {row(proof, check).status for check in PROOF_IDS[2:]} == {"skip"}


@pytest.fixture
def blocked(tmp_path: Path) -> Iterator[str]:
    """A source that can be imported, unless somebody blocks it: its path."""
    path = tmp_path / "lib" / "mine_to_block.py"
    path.parent.mkdir()
    path.write_text("import torch\nNet = torch.nn.Identity\n")
    sys.path.insert(0, str(path.parent))
    importlib.invalidate_caches()
    yield str(path)
    sys.path.remove(str(path.parent))
    sys.modules.pop("mine_to_block", None)


def test_the_source_that_is_blocked_cannot_be_imported(blocked: str) -> None:
    for entry in (blocked, "mine_to_block", "mine_to_block.py"):
        with SourceBlocker([entry]) as blocker:
            with pytest.raises(ModuleNotFoundError, match="a clean proof blocks"):
                importlib.import_module("mine_to_block")
            importlib.import_module("tabnanny")  # others are found as ever
        assert blocker.asked == ["mine_to_block"]
        assert blocker.leaks() == []
    importlib.import_module("mine_to_block")  # nobody blocks it any more
    with SourceBlocker([blocked]) as blocker:
        assert blocker.leaks() == ["mine_to_block"]


def test_a_source_that_was_imported_is_evidence_against_a_clean_proof(tmp_path: Path, blocked: str) -> None:
    stage = tmp_path / "stage"
    stage.mkdir()
    make(stage, "Net", "trace")
    importlib.import_module("mine_to_block")
    proof = prove(Prove(str(stage), (blocked,), staged=True), quiet_job())
    assert "clean" in failed(proof)
    assert not proof.clean
    del sys.modules["mine_to_block"]
    assert prove(Prove(str(stage), (blocked,), staged=True), quiet_job()).clean


def test_an_artifact_whose_loading_asks_for_the_blocked_source_does_not_get_it(tmp_path: Path, blocked: str) -> None:
    (tmp_path / "model").mkdir()
    source = tmp_path / "model" / "asking.py"
    source.write_text("import torch\nimport mine_to_block\n\n\nclass Net(torch.nn.Linear):\n    pass\n")
    stage = tmp_path / "stage"
    stage.mkdir()
    recipe = Recipe(f"{source}:Net", {"in_features": 5, "out_features": 2}, inputs=("input=float32[4,5]",))
    with patch.object(bundle, "_speed", return_value=None):
        made = bundle.make_artifact(MakeArtifact(recipe, "weights", str(stage)), quiet_job())
    write_manifest(stage, made.manifest)
    sys.modules.pop("mine_to_block")
    proof = prove(Prove(str(stage), (blocked,), staged=True), quiet_job())
    assert "mine_to_block" not in sys.modules
    assert row(proof, "clean").evidence == "asked for mine_to_block, which was refused; not in sys.modules"
    assert proof.clean
    assert "mine_to_block" in row(proof, "load").evidence
    assert proof.verdict == "error"  # a bundle brings what it needs of the model's own source


def test_a_proof_can_be_cancelled(tmp_path: Path) -> None:
    make(tmp_path, "Net", "trace")
    job = Job(1, lambda body, number: None)
    job.cancel()
    with pytest.raises(Cancelled):
        prove(Prove(str(tmp_path), staged=True), job)


def test_a_manifest_that_is_none_ends_in_a_proof(tmp_path: Path) -> None:
    make(tmp_path, "Net", "trace")
    for text in ("", "[]", "{}", '{"schema": 1, "kind": 3}', "\x00", '{"schema": 2}'):
        (tmp_path / "manifest.json").write_text(text)
        proof = proven(tmp_path)
        assert proof.verdict == "fail"
        assert failed(proof) == {"integrity"}
    assert MODELS.exists()


def test_a_leaf_without_a_noise_of_its_own_is_judged_by_tolerance(tmp_path: Path) -> None:
    made = make(tmp_path, "Net", "trace")
    wrong = eager("Net")
    with torch.no_grad():
        wrong.fc2.bias += 1e-3
        program = torch.jit.trace(wrong, X, check_trace=False)
    manifest = {**made.manifest, "yardstick": {**made.manifest["yardstick"], "leaves": {}}}
    proof = replaced(tmp_path, replace(made, manifest=manifest), program)
    assert "values" in failed(proof)
    assert "the tolerance (limit 1)" in row(proof, "values").evidence
