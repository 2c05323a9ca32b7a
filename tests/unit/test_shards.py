"""Weights in several files, models of installed packages by name, and constructor arguments from a file."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
import torch

from workbench.client.arguments import arguments_in
from workbench.protocol.failures import WorkbenchError
from workbench.protocol.messages import Inspect
from workbench.protocol.model import Recipe
from workbench.worker import tensorfile
from workbench.worker.artifact.inspect import inspect
from workbench.worker.bench import packages, shards, weights
from workbench.worker.bench.load import build
from workbench.worker.job import Job
from workbench.worker.shard_index import INDEXES


def job() -> Job:
    return Job(1, lambda body, number: None)


STATE = {"a.weight": torch.arange(6.0).reshape(2, 3), "a.bias": torch.ones(2), "b.weight": torch.full((4,), 2.0)}


def sharded(folder: Path, suffix: str = ".safetensors") -> Path:
    """Two shards and their index; the path of the index."""
    names = list(STATE)
    placed = {name: f"model-0000{1 + (name == names[-1])}-of-00002{suffix}" for name in names}
    for file in set(placed.values()):
        part = {name: STATE[name] for name in names if placed[name] == file}
        if suffix == ".safetensors":
            tensorfile.save(str(folder / file), part)
        else:
            torch.save(part, folder / file)
    index = folder / ("model.safetensors.index.json" if suffix == ".safetensors" else "pytorch_model.bin.index.json")
    index.write_text(json.dumps({"metadata": {"total_size": 1}, "weight_map": placed}))
    return index


@pytest.mark.parametrize("suffix", [".safetensors", ".bin"])
def test_shards_become_one_state_dict_from_the_index_and_from_its_directory(tmp_path: Path, suffix: str) -> None:
    index = sharded(tmp_path, suffix)
    for path in (str(index), str(tmp_path)):
        read = weights.read(path)
        assert read.tensors.keys() == STATE.keys()
        assert all(torch.equal(read.tensors[name], STATE[name]) for name in STATE)
        assert len(read.sha256) == 64
        assert any("2 shards" in note for note in read.notes)


def test_a_shard_that_changes_is_noticed(tmp_path: Path) -> None:
    index = sharded(tmp_path)
    read = weights.read(str(index))
    assert weights.signature_of(read.files) == read.signature
    file = tmp_path / "model-00001-of-00002.safetensors"
    tensorfile.save(str(file), {"a.weight": torch.zeros(2, 3), "a.bias": torch.zeros(2)})
    assert weights.signature_of(read.files) != read.signature
    again = weights.read(str(index))
    assert again.sha256 != read.sha256


def _no_file(folder: Path, index: Path) -> str:
    os.unlink(folder / "model-00002-of-00002.safetensors")
    return "model-00002-of-00002.safetensors is not there"


def _elsewhere(folder: Path, index: Path) -> str:
    content = json.loads(index.read_text())
    content["weight_map"]["b.weight"] = "../outside.safetensors"
    index.write_text(json.dumps(content))
    return "../outside.safetensors does not lie beside it"


def _unplaced(folder: Path, index: Path) -> str:
    part = {"b.weight": STATE["b.weight"], "x": STATE["a.bias"]}
    tensorfile.save(str(folder / "model-00002-of-00002.safetensors"), part)
    return "holds x, which the index does not place there"


def _lacking(folder: Path, index: Path) -> str:
    tensorfile.save(str(folder / "model-00001-of-00002.safetensors"), {"a.weight": STATE["a.weight"]})
    return "a.bias is in the index and in no file"


def _no_map(folder: Path, index: Path) -> str:
    index.write_text("[1, 2]")
    return "it is no index of weights"


@pytest.mark.parametrize("spoil", [_no_file, _elsewhere, _unplaced, _lacking, _no_map])
def test_shards_that_do_not_belong_together_are_refused_in_words(tmp_path: Path, spoil: Any) -> None:
    index = sharded(tmp_path)
    words = spoil(tmp_path, index)
    with pytest.raises(WorkbenchError) as caught:
        weights.read(str(index))
    assert caught.value.failure.kind == "weights"
    assert words in caught.value.failure.message


def test_a_directory_without_one_weights_file_says_what_is_there(tmp_path: Path) -> None:
    with pytest.raises(WorkbenchError, match="it holds none"):
        shards.in_directory(str(tmp_path))
    torch.save(STATE, tmp_path / "one.pt")
    assert shards.in_directory(str(tmp_path)) == str(tmp_path / "one.pt")
    torch.save(STATE, tmp_path / "two.pt")
    with pytest.raises(WorkbenchError, match=r"one\.pt, two\.pt"):
        shards.in_directory(str(tmp_path))


def test_a_safetensors_file_whose_length_begins_like_a_pickle_is_one(tmp_path: Path) -> None:
    for width in range(1, 400):
        path = tmp_path / "w.safetensors"
        tensorfile.save(str(path), {"n" * width: torch.ones(1)})
        if path.read_bytes()[:1] == b"\x80":
            break
    else:
        pytest.fail("no header of such a length")
    assert weights.read(str(path)).tensors.keys() == {"n" * width}


def test_a_directory_of_transformers_is_built_by_what_its_config_names(tmp_path: Path) -> None:
    with pytest.raises(WorkbenchError, match=r"no config\.json"):
        build(Recipe(f"transformers:{tmp_path}"), job())
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(WorkbenchError, match="no configuration"):
        build(Recipe(f"transformers:{tmp_path}"), job())
    with pytest.raises(WorkbenchError) as caught:
        build(Recipe(str(tmp_path)), job())
    assert f"transformers:{tmp_path}" in caught.value.failure.remedy


def test_names_of_timm_stand_for_its_functions() -> None:
    assert packages.importable("timm:resnet18") == "timm.models:resnet18"
    assert packages.importable("net.py:Net") == "net.py:Net"


def test_arguments_come_from_json_and_toml(tmp_path: Path) -> None:
    (tmp_path / "c.json").write_text('{"width": 16, "deep": {"width": 3}}')
    (tmp_path / "c.toml").write_text("width = 8\n[model.inner]\nwidth = 4\n")
    assert arguments_in(f"{tmp_path}/c.json")["width"] == 16
    assert arguments_in(f"{tmp_path}/c.json#deep") == {"width": 3}
    assert arguments_in(f"{tmp_path}/c.toml#model.inner") == {"width": 4}
    wrong = {"c.json#none": "no table 'none'", "no.json": "cannot be read", "c.json#width": "no table"}
    for path, words in wrong.items():
        with pytest.raises(WorkbenchError) as caught:
            arguments_in(f"{tmp_path}/{path}")
        assert (caught.value.failure.kind, words in caught.value.failure.message) == ("usage", True)
    (tmp_path / "bad.json").write_text("{,}")
    with pytest.raises(WorkbenchError, match="is not JSON"):
        arguments_in(f"{tmp_path}/bad.json")


def test_what_inspect_calls_an_index_is_what_a_directory_is_loaded_by(tmp_path: Path) -> None:
    index = sharded(tmp_path)
    for name in INDEXES:
        index = index.rename(tmp_path / name)
        assert shards.in_directory(str(tmp_path)) == str(index)
        assert weights.read(str(tmp_path)).tensors.keys() == STATE.keys()
        assert inspect(Inspect(str(tmp_path)), job()).tensor_count == len(STATE)
