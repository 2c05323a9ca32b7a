"""Models of real packages, as a new user opens them: no inputs given, weights from a directory that they wrote.

Each is skipped where its package is not installed, or does not fit this torch.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import pytest
import torch

from workbench.protocol.model import ModeChange, Recipe
from workbench.protocol.requests import Load
from workbench.worker.bench.bench import Bench
from workbench.worker.job import Job
from workbench.worker.judge.leaves import flatten

TEXT = {"vocab_size": 50, "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
SMALL: dict[str, tuple[str, dict[str, Any]]] = {
    "BertForSequenceClassification": ("BertConfig", TEXT),
    "GPT2LMHeadModel": ("GPT2Config", {"vocab_size": 50, "n_embd": 16, "n_layer": 1, "n_head": 2, "n_positions": 32,
                                       "bos_token_id": 1, "eos_token_id": 2}),
    "ViTForImageClassification": ("ViTConfig", {**TEXT, "image_size": 16, "patch_size": 8}),
    "T5ForConditionalGeneration": ("T5Config", {"vocab_size": 50, "d_model": 16, "d_kv": 8, "d_ff": 16, "num_layers": 1,
                                                "num_heads": 2}),
}  # fmt: skip


def package(name: str, *parts: str) -> Any:
    """The package, which imports its parts when they are asked for."""
    try:
        found = importlib.import_module(name)
        for part in parts:
            getattr(found, part)
        return found
    except (ImportError, RuntimeError) as problem:  # torchvision of another torch raises at its import
        pytest.skip(f"{name} cannot be used here: {problem}")


def opened(target: str, directory: Path, **more: Any) -> Bench:
    """On a bench, in eval under no_grad; its own inputs run, and give the same answer twice, to the last part."""
    bench = Bench()
    change = ModeChange(training=False, grad="no_grad")
    bench.load(Load(Recipe(target, directory=str(directory), **more), change), Job(1, lambda body, number: None))
    args, kwargs = bench.example.sample(0)
    with torch.no_grad():
        one, two = (flatten(bench.model(*args, **kwargs)) for _ in range(2))
    assert one.leaves
    assert (one.structure, one.opaque) == (two.structure, ())
    for (path, leaf), (_, again) in zip(one.leaves, two.leaves, strict=True):
        assert torch.equal(leaf, again), path
    return bench


@pytest.mark.parametrize("name", SMALL)
def test_a_directory_of_transformers(name: str, tmp_path: Path) -> None:
    config, fields = SMALL[name]
    transformers = package("transformers", name, config)
    torch.manual_seed(0)
    written = getattr(transformers, name)(getattr(transformers, config)(**fields)).eval()
    written.save_pretrained(tmp_path / "saved")
    bench = opened("transformers:saved", tmp_path)
    for path, value in written.state_dict().items():
        assert torch.equal(bench.model.state_dict()[path], value), path
    if name.startswith("ViT") and "vit.layers" in str(list(written.state_dict())):
        assert any("as transformers" in note for note in bench.info.warnings), bench.info.warnings
    if name.startswith("GPT2"):
        args, kwargs = bench.example.sample(0)
        paths = [path for path, _ in flatten(bench.model(*args, **kwargs)).leaves]
        assert any(path.endswith(".keys") for path in paths), "a cache is part of the answer"


@pytest.mark.parametrize("name", ["resnet18", "vit_tiny_patch16_224", "convnext_atto"])
def test_a_name_of_timm(name: str, tmp_path: Path) -> None:
    package("timm")
    assert opened(f"timm:{name}", tmp_path).example.infos[0].spec == "x=float32[2,3,224,224]"


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v3_small"])
def test_a_factory_of_torchvision(name: str, tmp_path: Path) -> None:
    package("torchvision.models")
    opened(f"torchvision.models:{name}", tmp_path)


def test_a_transformer_of_torch(tmp_path: Path) -> None:
    small = {"d_model": 16, "nhead": 2, "num_encoder_layers": 1, "num_decoder_layers": 1, "dim_feedforward": 16}
    bench = opened("torch.nn:Transformer", tmp_path, kwargs=small)
    assert [info.name for info in bench.example.infos] == ["src", "tgt"]
