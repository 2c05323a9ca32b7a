"""What is not compared is not proven: an architecture that raises, one that is not here, an artifact that is gone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
import torch

from tests.unit.artifact_bench import make, proven, quiet_job, replaced, row, write_manifest
from workbench.protocol.artifacts import Made
from workbench.protocol.messages import Prove
from workbench.protocol.outside import Metric
from workbench.protocol.proven import UNCOMPARED, proof_words
from workbench.worker.artifact import prove as proving
from workbench.worker.artifact.loading import open_artifact
from workbench.worker.artifact.prove_job import prove


@pytest.fixture
def weights(tmp_path: Path) -> Callable[[str], Path]:
    """A staged bundle of weights whose architecture begins with the given line."""

    def staged(line: str) -> Path:
        stage = tmp_path / "stage"
        stage.mkdir()
        made: Made = make(stage, "Net", "weights")
        source = stage / made.manifest["architecture"]["file"]
        source.write_text(source.read_text().replace("import torch\n", f"import torch\n{line}\n", 1))
        write_manifest(stage, made.manifest)
        return stage

    return staged


def test_an_architecture_that_raises_is_an_error(weights: Callable[[str], Path]) -> None:
    proof = proven(weights('open("no such cfg.json")'))
    assert proof.verdict == "error"
    assert "could not be built: FileNotFoundError" in row(proof, "load").evidence
    assert row(proof, "weights_match").status == "pass"  # which needs no architecture
    assert row(proof, "values").evidence.startswith("nothing could be called, see load")
    assert "proven" not in proof_words(proof).replace("could not be proven", "")


def test_a_package_that_is_not_installed_is_said(weights: Callable[[str], Path]) -> None:
    proof = proven(weights("import no_such_package_of_layers.blocks"))
    assert proof.verdict == "pass"
    assert (proof.cases, proof_words(proof)) == (0, UNCOMPARED)
    assert row(proof, "values").evidence.startswith("no_such_package_of_layers is not installed here")


def test_a_module_that_a_package_lacks_is_an_error(weights: Callable[[str], Path]) -> None:
    assert proven(weights("import torch.no_such_module")).verdict == "error"


def test_a_limit_on_what_was_never_called_is_an_error(weights: Callable[[str], Path], tmp_path: Path) -> None:
    stage, file = weights("import no_such_package_of_layers"), tmp_path / "number.py"
    file.write_text("def f(reference, candidate):\n    return 0.0\n")
    proof = prove(Prove(str(stage), staged=True, metrics=(Metric(str(file), "f", ">=", 0.99),)), quiet_job())
    assert row(proof, "metric:f").status == "error"
    assert proof.verdict == "error"


def test_a_limit_on_what_was_changed_is_not_what_is_wrong(weights: Callable[[str], Path], tmp_path: Path) -> None:
    stage, file = weights("import no_such_package_of_layers"), tmp_path / "number.py"
    file.write_text("def f(reference, candidate):\n    return 0.0\n")
    (stage / "weights.safetensors").write_bytes(b"changed")
    proof = prove(Prove(str(stage), staged=True, metrics=(Metric(str(file), "f", ">=", 0.99),)), quiet_job())
    assert row(proof, "integrity").status == "fail"
    assert (row(proof, "metric:f").status, proof.verdict) == ("skip", "fail")


def test_a_number_that_raises_weighs_more_than_a_row_that_fails(tmp_path: Path) -> None:
    stage, file = tmp_path / "stage", tmp_path / "number.py"
    stage.mkdir()
    made = make(stage, "Branch", "trace")
    assert made.kind == "trace"
    file.write_text("def f(reference, candidate):\n    return 1 / 0\n")
    proof = prove(Prove(str(stage), staged=True, metrics=(Metric(str(file), "f", ">=", 0.99),)), quiet_job())
    assert row(proof, "values").status == "fail"
    assert row(proof, "metric:f").status == "error"
    assert proof.verdict == "error"


def test_what_loads_only_once_is_asked_nothing_more(tmp_path: Path) -> None:
    make(tmp_path, "Net", "trace")
    loads: list[int] = []

    def once(*given: Any) -> Any:
        loads.append(1)
        if len(loads) > 1:
            raise ValueError("the file is gone")
        return open_artifact(*given)

    with patch.object(proving, "open_artifact", once):
        proof = proven(tmp_path)
    assert proof.verdict == "fail"
    assert row(proof, "repeat").evidence == "it loads once and not twice: the file is gone"
    assert row(proof, "values").status == "pass"
    assert row(proof, "train_ops").evidence == "not looked at: it does not load again, see repeat"
    assert [one.words for one in proof.findings if one.id == "guards"] == [
        "could not be asked: it does not load again, see repeat"
    ]


def test_parameters_that_cannot_be_read_are_an_error(tmp_path: Path) -> None:
    make(tmp_path, "Net", "export")

    def broken(opened: object) -> Any:
        raise RuntimeError("bad constant")

    with patch.object(proving, "named_tensors", broken):
        proof = proven(tmp_path)
    assert row(proof, "weights_match").evidence == "could not be read: RuntimeError: bad constant"
    assert (row(proof, "values").status, proof.verdict) == ("pass", "error")


def test_what_never_answers_is_not_said_to_answer_differently(tmp_path: Path) -> None:
    made = make(tmp_path, "Net", "trace")

    class Raises(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x @ torch.zeros(7, 3)

    proof = replaced(tmp_path, made, torch.jit.script(Raises()))
    assert row(proof, "structure").status == "fail"
    assert row(proof, "repeat").status == "skip"
    assert row(proof, "repeat").evidence.startswith("could not be asked, for no call answers: RuntimeError")
