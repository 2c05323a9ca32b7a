"""Answers of any class as named plain tensors for every kind, and a model that no export leaves a mark on."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
import torch

from tests.unit import output_models
from tests.unit.artifact_bench import proven, quiet_job, write_manifest
from tests.unit.model_state import held_by
from workbench.protocol.artifacts import Made
from workbench.protocol.messages import MakeArtifact
from workbench.protocol.model import Recipe
from workbench.worker.artifact import aoti, bundle, onnx

FILE = Path(output_models.__file__)

OUTPUTS = {
    "Named": {"logits", "hidden.0", "hidden.1"},
    "Mapped": {"logits", "hidden_states.0", "hidden_states.1"},
    "Cached": {
        "logits",
        "cache.layers.0.keys",
        "cache.layers.0.values",
        "cache.layers.1.keys",
        "cache.layers.1.values",
    },
    "Counts": {"logits", "cache.keys"},
}

without_onnx = pytest.mark.skipif(bool(onnx.unavailable("cpu")), reason="the extra [onnx] is not installed")
without_compiler = pytest.mark.skipif(bool(aoti.unavailable("cpu")), reason="there is no compiler")

KINDS = [
    "weights",
    "trace",
    "export",
    pytest.param("onnx", marks=without_onnx),
    pytest.param("aoti", marks=[pytest.mark.slow, pytest.mark.timeout(600), without_compiler]),
]


def make(stage: Path, name: str, kind: str) -> Made:
    wanted = MakeArtifact(Recipe(f"{FILE}:{name}", inputs=("x=float32[4,5]",)), kind, str(stage))
    with patch.object(bundle, "_speed", return_value=None):
        made = bundle.make_artifact(wanted, quiet_job())
    write_manifest(stage, made.manifest)
    return made


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", OUTPUTS)
def test_an_answer_of_any_class_is_named_plain_tensors(tmp_path: Path, name: str, kind: str) -> None:
    made = make(tmp_path, name, kind)
    assert {path[len("output['") : -len("']")] for path in made.manifest["output"]["paths"]} == OUTPUTS[name]
    assert "wrapped_output" in {one.id for one in made.findings}
    proof = proven(tmp_path)  # its source cannot be imported here, and no class of it is asked for
    assert proof.verdict == "pass", [one for one in proof.checks if one.status != "pass"]


@pytest.mark.parametrize("kind", KINDS)
def test_no_export_leaves_a_mark_on_the_model(tmp_path: Path, kind: str) -> None:
    """Everything below the attributes of every module, hooks and training flags included, and the generators."""
    seen: list[Any] = []
    real = bundle.subject_of

    def subject_of(model: torch.nn.Module, *given: Any) -> Any:
        seen.append((model, state(model)))
        return real(model, *given)

    with patch.object(bundle, "subject_of", subject_of):
        make(tmp_path, "Full", kind)
    ((model, before),) = seen
    assert state(model) == before
    assert type(model).__name__ == "Full"
    assert not model.training
    assert model.fc.weight.requires_grad
    assert not model.fc.bias.requires_grad


def state(model: torch.nn.Module) -> Any:
    hooks = [(path, list(module._forward_hooks.values()), type(module)) for path, module in model.named_modules()]
    own: Any = model.own
    generators = own["generator"].get_state().tolist()
    return held_by(model), hooks, generators, torch.get_rng_state().tolist(), random.getstate(), torch.get_num_threads()
