"""Making an artifact and proving it leave the model's own tensors, and the caller's inputs, as they were."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.unit.artifact_bench import make, proven, row
from workbench.worker import tensorfile

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
