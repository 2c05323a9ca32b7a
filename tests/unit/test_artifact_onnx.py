"""ONNX: made from a program with free sizes, run by ONNX Runtime, and judged like every other kind."""

from __future__ import annotations

import copy
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch.nn.utils.fusion import fuse_linear_bn_eval

from tests.unit.artifact_bench import eager, failed, make, proven, quiet_job, recipe, row, write_manifest
from workbench.protocol.failures import WorkbenchError
from workbench.protocol.messages import MakeArtifact, MakeGolden
from workbench.worker.artifact import bundle, onnx
from workbench.worker.artifact.clean import file_sha256
from workbench.worker.artifact.open_onnx import onnx_inputs

pytest.importorskip("onnxruntime", reason="the extra [onnx] is not installed")
pytest.importorskip("onnxscript", reason="the extra [onnx] is not installed")


def test_a_program_is_translated_with_its_free_batch_and_proven(tmp_path: Path) -> None:
    made = make(tmp_path, "Net", "onnx", ("x=float32[rows:1..9,5]",))
    assert made.dynamic == ("x[0] = rows in [1, 9]",)
    proof = proven(tmp_path)
    assert proof.verdict == "pass"
    assert row(proof, "weights_match").status == "pass"
    assert row(proof, "train_ops").status == "pass"
    assert {case["batch"] for case in made.manifest["cases"]} >= {1, 9}


@pytest.mark.parametrize(
    ("name", "inputs"),
    [
        ("Classy", ("x=float32[4,5]", "factor=float32[]")),
        ("Two", ("x=float32[4,5]",)),
        ("Scalars", ("ids=int64[batch:1..6,length:3..11]{0..9}",)),
    ],
)
def test_answers_of_any_container_are_compared_leaf_by_leaf(tmp_path: Path, name: str, inputs: tuple[str, ...]) -> None:
    make(tmp_path, name, "onnx", inputs)
    assert proven(tmp_path).verdict == "pass"


@pytest.mark.parametrize(
    ("change", "evidence", "cause"),
    [
        (
            "one bias",
            "1 of 4 differ from the checkpoint, batch norm folded (norm into fc1): fc2.bias",
            "1 of 4 tensors",
        ),
        ("rounded", "4 of 4 differ from the checkpoint, batch norm folded (norm into fc1)", "rounded to float16"),
        (
            "rounded first",
            "2 of 4 differ from the checkpoint, batch norm folded after rounding to float16",
            "to float16",
        ),
    ],
)
def test_folded_batch_norm_is_no_difference_beside_another(
    tmp_path: Path, change: str, evidence: str, cause: str
) -> None:
    import onnx as package
    from onnx import numpy_helper

    model, path = eager("Net"), tmp_path / "net.onnx"
    with torch.no_grad():
        model.norm.running_mean.uniform_(-1, 1)
        model.norm.running_var.uniform_(0.5, 2)
    state = tmp_path / "state.pt"
    torch.save(model.state_dict(), state)
    if change == "rounded first":
        model.half().float()
    elif change == "one bias":
        torch.nn.init.constant_(model.fc2.bias, 0.75)
    fused = copy.deepcopy(model)
    fused.fc1, fused.norm = fuse_linear_bn_eval(model.fc1, model.norm), torch.nn.Identity()
    sizes = {"x": {0: torch.export.Dim("batch")}}
    torch.onnx.export(fused, (torch.zeros(4, 5),), str(path), dynamo=True, dynamic_shapes=sizes, external_data=False)
    if change == "rounded":
        loaded = package.load(str(path))
        for tensor in loaded.graph.initializer:
            value = numpy_helper.to_array(tensor)
            if value.dtype == "float32":
                tensor.CopyFrom(numpy_helper.from_array(value.astype("float16").astype("float32"), tensor.name))
        package.save(loaded, str(path))
    stage = tmp_path / "stage"
    stage.mkdir()
    asked = MakeGolden(recipe("Net"), str(path), file_sha256(path)[0], str(stage), state=str(state))
    made = bundle.make_golden(asked, quiet_job())
    write_manifest(stage, made.manifest)
    found = row(proven(stage), "weights_match")
    assert found.evidence.startswith(evidence)
    assert cause in found.cause


def test_other_weights_are_found_by_name_and_by_value(tmp_path: Path) -> None:
    import onnx as package
    from onnx import numpy_helper

    made = make(tmp_path, "Net", "onnx")
    path = tmp_path / made.file
    model = package.load(str(path))
    name = next(one for one in dict(eager("Net").named_parameters()) if one.endswith("bias"))
    tensor = next(one for one in model.graph.initializer if one.name == name)
    changed = numpy_helper.from_array(numpy_helper.to_array(tensor) + 1e-3, name)
    tensor.CopyFrom(changed)
    package.save(model, str(path))
    write_manifest(tmp_path, made.manifest)
    proof = proven(tmp_path)
    assert {"values", "weights_match"} <= failed(proof)
    assert name in row(proof, "weights_match").evidence


def test_a_graph_that_trains_is_named_with_its_module(tmp_path: Path) -> None:
    make(tmp_path, "Net", "onnx", training=True)
    proof = proven(tmp_path)
    assert proof.verdict == "fail"
    assert "train_ops" in failed(proof)


def test_a_truncated_model_is_an_error_in_words(tmp_path: Path) -> None:
    made = make(tmp_path, "Net", "onnx")
    path = tmp_path / made.file
    path.write_bytes(path.read_bytes()[:-200])
    write_manifest(tmp_path, made.manifest)
    proof = proven(tmp_path)
    assert proof.verdict == "error"
    assert "truncated or damaged" in row(proof, "load").evidence


def test_a_dtype_that_onnx_runtime_has_not_is_said_before_anything_is_translated(tmp_path: Path) -> None:
    with pytest.raises(WorkbenchError) as caught:
        make(tmp_path, "Net", "onnx", dtype="bfloat16")
    assert "bfloat16" in caught.value.failure.message
    assert not (tmp_path / onnx.FILE).exists()


def test_a_missing_package_is_said_before_the_model_is_built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnx, "PACKAGES", ("onnx", "no_such_package_at_all"))
    monkeypatch.setattr(bundle, "build", lambda *given: pytest.fail("the model was built"))
    with pytest.raises(WorkbenchError) as caught:
        make(tmp_path, "Net", "onnx")
    assert caught.value.failure.kind == "usage"
    assert "no_such_package_at_all" in caught.value.failure.message
    assert "[onnx]" in caught.value.failure.remedy


def test_inputs_are_found_by_name_or_by_place() -> None:
    assert onnx_inputs(["b", "a"], ["a", "b"]) == {"b": "b", "a": "a"}
    assert onnx_inputs(["batch.ids"], ["batch['ids']"]) == {"batch.ids": "batch['ids']"}
    assert onnx_inputs(["input.1"], ["x"]) == {"input.1": "x"}
    with pytest.raises(ValueError, match="it wants the inputs a, b"):
        onnx_inputs(["a", "b"], ["x"])


def test_verify_py_proves_it_beside_nothing_but_torch_and_the_runtime(tmp_path: Path) -> None:
    made = make(tmp_path, "Net", "onnx")
    write_manifest(tmp_path, made.manifest, "files")
    done = subprocess.run(
        [sys.executable, "-I", "verify.py"], cwd=tmp_path, capture_output=True, text=True, timeout=100, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "proven" in done.stdout


def test_a_device_that_onnx_runtime_cannot_use_is_refused_before_anything_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import onnxruntime

    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CPUExecutionProvider"])
    request = MakeArtifact(recipe("Net", ("x=float32[4,5]",)), "onnx", str(tmp_path), device="cuda:0")
    with pytest.raises(WorkbenchError) as caught:
        bundle.make_artifact(request, quiet_job())
    failure = caught.value.failure
    assert failure.kind == "usage"
    assert "cannot be proven on cuda:0: this ONNX Runtime has no CUDAExecutionProvider" in failure.message
    assert list(tmp_path.iterdir()) == []
