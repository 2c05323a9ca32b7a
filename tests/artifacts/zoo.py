"""Architectures of timm and transformers as artifacts: exported by each kind, and proven, or explained.

Random weights and small configurations; nothing is downloaded. `pytest -m slow tests/artifacts` runs all of them.
"""

from __future__ import annotations

import tempfile
import warnings
from pathlib import Path
from unittest.mock import patch

from tests.corpus.cases import Healthy
from tests.corpus.engine import quiet_job, recipe_of
from tests.corpus.zoo import ZOO as CORPUS
from tests.corpus.zoo import timm_case
from tests.unit.artifact_bench import write_manifest
from workbench.protocol.artifacts import Proof
from workbench.protocol.messages import MakeArtifact, Prove
from workbench.worker.artifact import bundle
from workbench.worker.artifact.prove_job import prove

ZOO: tuple[Healthy, ...] = (
    *CORPUS,
    timm_case("mobilenetv2_050"),
    timm_case("repvgg_a0"),
    timm_case("deit_tiny_patch16_224", img_size=32),
    timm_case("poolformer_s12", size=64),
    timm_case("edgenext_xx_small", size=64),
    timm_case("mobilevit_xxs", size=64),
    timm_case("resnet18d"),
    timm_case("swin_tiny_patch4_window7_224", size=56, img_size=56),
)

KINDS = ("trace", "export", "onnx")

EXPLAINED = {
    ("MixtralForCausalLM", "onnx"): "No ONNX function found for <OpOverload(op='transformers.grouped_mm_fallback'",
    ("T5Model", "onnx"): "Cannot view a tensor with shape torch.Size([",
}
"""(architecture, kind) that no exporter of this torch can make → what the refusal must say."""


def prove_case(case: Healthy, kind: str) -> Proof:
    """Make the artifact and prove it, in this process. Raises `WorkbenchError` for what cannot be made."""
    with tempfile.TemporaryDirectory(prefix="workbench-zoo-") as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with patch.object(bundle, "_speed", return_value=None):  # it takes time, and is no verdict
            made = bundle.make_artifact(MakeArtifact(recipe_of(case), kind, folder), quiet_job())
        write_manifest(Path(folder), made.manifest)
        return prove(Prove(folder, staged=True), quiet_job())
