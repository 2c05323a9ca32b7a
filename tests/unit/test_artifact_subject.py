"""Making an artifact and proving it leave the model's own tensors, and the caller's inputs, as they were."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.unit.artifact_bench import eager, failed, make, proven, replaced, row
from workbench.protocol.failures import WorkbenchError
from workbench.worker import tensorfile
from workbench.worker.artifact.prove_writes import WRITES_ALIKE, WRITES_NEARLY, WRITES_NOTHING, WRITES_OTHERS, writes_of

KINDS = ("weights", "trace", "export")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["Calls", "CallsAnew"])
def test_a_buffer_that_forward_counts_up_stays_the_checkpoints(tmp_path: Path, kind: str, name: str) -> None:
    made = make(tmp_path, name, kind)
    path = str(tmp_path / made.file)
    if kind == "weights":
        calls = tensorfile.load(path)["calls"]
    elif kind == "trace":
        calls = torch.jit.load(path).state_dict()["calls"]
    else:
        calls = torch.export.load(path).state_dict["calls"]
    assert int(calls) == 0
    proof = proven(tmp_path)
    assert proof.verdict == "pass", [one for one in proof.checks if one.status != "pass"]


@pytest.mark.parametrize("kind", KINDS)
def test_batch_statistics_stay_the_checkpoints_in_train_mode(tmp_path: Path, kind: str) -> None:
    make(tmp_path, "Net", kind, training=True)
    evidence = row(proven(tmp_path), "weights_match")
    assert evidence.status == "pass", evidence


@pytest.mark.parametrize("kind", KINDS)
def test_an_output_whose_keys_change_between_inputs_ends_in_a_proof(tmp_path: Path, kind: str) -> None:
    made = make(tmp_path, "Keys", kind)
    leaves, other = (
        set(made.manifest["yardstick"]["leaves"]),
        [case for case in made.manifest["cases"] if "output" in case],
    )
    proof = proven(tmp_path)
    if kind == "export":  # it serves the sizes of one side only, and says so
        assert (made.manifest["batch"]["minimum"], other) == (3, [])
    else:
        assert other
        assert leaves == {"output['y']", "output['small']"}
    if kind == "trace":
        assert row(proof, "structure").status == "fail"
    else:
        assert proof.verdict == "pass", [one for one in proof.checks if one.status != "pass"]


@pytest.mark.parametrize("kind", KINDS)
def test_two_tensors_of_one_plain_name_are_refused_in_words(tmp_path: Path, kind: str) -> None:
    with pytest.raises(WorkbenchError) as caught:
        make(tmp_path, "Collide", kind)
    assert caught.value.failure.kind == "export"
    assert "'extra.0.a.b'" in caught.value.failure.message


@pytest.mark.parametrize("kind", ["trace", "export"])
def test_an_artifact_that_writes_to_its_inputs_where_eager_does_not_is_refused(tmp_path: Path, kind: str) -> None:
    made = make(tmp_path, "Reads", kind)
    assert proven(tmp_path).verdict == "pass"
    x, dims = torch.zeros(4, 5), {"x": {0: torch.export.Dim("batch", min=1)}}
    with torch.no_grad():
        program = (
            torch.jit.trace(eager("Writes"), x, check_trace=False)
            if kind == "trace"
            else torch.export.export(eager("Writes"), (x,), dynamic_shapes=dims)
        )
    proof = replaced(tmp_path, made, program)
    assert failed(proof) - {"structure"} == {"repeat"}  # and a program that replaced ours does not guard its dtype
    assert "x" in row(proof, "repeat").evidence
    assert [one.words for one in proof.findings if one.id == "mutates_inputs"] == [
        "writes to its input x, which eager leaves as it was"
    ]


@pytest.mark.parametrize("kind", KINDS)
def test_an_artifact_that_writes_to_its_inputs_as_eager_does_is_right(tmp_path: Path, kind: str) -> None:
    make(tmp_path, "Writes", kind)
    proof = proven(tmp_path)
    assert proof.verdict == "pass", [one for one in proof.checks if one.status != "pass"]
    assert [one.words for one in proof.findings if one.id == "mutates_inputs"] == [
        "writes to its input x, as eager does"
    ]


def test_an_artifact_that_leaves_alone_what_eager_writes_to_is_reported(tmp_path: Path) -> None:
    made = make(tmp_path, "Writes", "trace")
    proof = replaced(tmp_path, made, torch.jit.trace(eager("Reads"), torch.zeros(4, 5), check_trace=False))
    assert [one.words for one in proof.findings if one.id == "mutates_inputs"] == [
        "leaves its input x as it was, which eager writes to"
    ]
    assert row(proof, "repeat").status == "pass"


@pytest.mark.parametrize("kind", ["trace", "export"])
def test_an_artifact_that_writes_other_values_than_eager_is_refused(tmp_path: Path, kind: str) -> None:
    class Triples(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y = x + 1
            x.mul_(3)
            return y

    made = make(tmp_path, "Writes", kind)
    x, dims = torch.zeros(4, 5), {"x": {0: torch.export.Dim("batch", min=1)}}
    with torch.no_grad():
        program = (
            torch.jit.trace(Triples(), x, check_trace=False)
            if kind == "trace"
            else torch.export.export(Triples(), (x,), dynamic_shapes=dims)
        )
    proof = replaced(tmp_path, made, program)
    assert "repeat" in failed(proof)
    assert row(proof, "repeat").evidence == "writes other values to its input x than eager does"


@pytest.mark.parametrize(
    ("left", "words"),
    [
        ([2.0, 4.0], WRITES_ALIKE),
        ([2.0, 4.0008], WRITES_NEARLY),
        ([2.0, 4.4], WRITES_OTHERS),
        ([1.0, 2.0], WRITES_NOTHING),
    ],
)
def test_what_is_left_in_an_input_is_told_by_how_far_it_is_off(left: list[float], words: str) -> None:
    before, after = {"x": torch.tensor([1.0, 2.0])}, {"x": torch.tensor([2.0, 4.0])}
    assert writes_of(before, after, [("x", torch.tensor(left))]) == ((words, "x"),)
