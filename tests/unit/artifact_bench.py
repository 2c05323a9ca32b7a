"""Makes and proves artifacts as the flows of the supervisor do, in this process."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch

from tests.unit import artifact_models
from workbench.protocol.artifacts import CheckRow, Made, Proof
from workbench.protocol.codec import plain
from workbench.protocol.messages import MakeArtifact, Prove
from workbench.protocol.model import Recipe
from workbench.worker.artifact import bundle
from workbench.worker.artifact.clean import file_sha256
from workbench.worker.artifact.prove_job import prove
from workbench.worker.job import Job

MODELS = Path(artifact_models.__file__)

INPUTS = ("x=float32[4,5]",)


def quiet_job() -> Job:
    return Job(1, lambda body, number: None)


def recipe(name: str, inputs: tuple[str, ...] = INPUTS, **more: Any) -> Recipe:
    return Recipe(f"{MODELS}:{name}", inputs=inputs, **more)


def make(stage: Path, name: str, kind: str, inputs: tuple[str, ...] = INPUTS, **more: Any) -> Made:
    """An artifact of a model in `artifact_models`, staged with the manifest that a proof reads."""
    with patch.object(bundle, "_speed", return_value=None):  # it takes time, and has a test of its own
        made = bundle.make_artifact(MakeArtifact(recipe(name, inputs), kind, str(stage), **more), quiet_job())
    write_manifest(stage, made.manifest)
    return made


def write_manifest(stage: Path, manifest: dict[str, Any], key: str = "made") -> None:
    """The manifest with the digests of everything in `stage`: "made" while staged, "files" when published."""
    files = {}
    for path in sorted(stage.rglob("*")):
        if path.is_file() and path.name != "manifest.json":
            digest, size = file_sha256(path)
            files[str(path.relative_to(stage))] = {"sha256": digest, "bytes": size}
    (stage / "manifest.json").write_text(json.dumps({**plain(manifest), key: files}))


def proven(stage: Path, device: str = "cpu") -> Proof:
    """The proof of what is staged."""
    return prove(Prove(str(stage), device=device, staged=True), quiet_job())


def replaced(stage: Path, made: Made, program: Any) -> Proof:
    """The proof after another program took the artifact's place, digests and all."""
    path = stage / made.file
    if made.kind == "trace":
        torch.jit.save(program, str(path))
    else:
        torch.export.save(program, str(path))
    write_manifest(stage, made.manifest)
    return proven(stage)


def row(proof: Proof, check: str) -> CheckRow:
    return next(one for one in proof.checks if one.id == check)


def failed(proof: Proof) -> set[str]:
    return {one.id for one in proof.checks if one.status == "fail"}


def eager(name: str, seed: int = 0, **kwargs: Any) -> Any:
    """The model that `make` builds, in eval."""
    torch.manual_seed(seed)
    return getattr(artifact_models, name)(**kwargs).eval()
