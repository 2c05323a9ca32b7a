"""Looking into what lies in several files, ONNX models, and what a file tells besides its tensors."""

from __future__ import annotations

import argparse
import io
import json
import os
import struct
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console
from torch import nn

from tests.unit.artifact_bench import eager, quiet_job
from tests.unit.artifact_models import training
from workbench.cli.inspected import show_inspection
from workbench.protocol.artifacts import Inspection
from workbench.protocol.failures import WorkbenchError
from workbench.protocol.messages import Inspect
from workbench.report.sharing import shared
from workbench.tui.draw.inspection import inspection_told
from workbench.worker import tensorfile
from workbench.worker.artifact.inspect import inspect
from workbench.worker.bench.weights import read


def look(path: Path) -> Inspection:
    return inspect(Inspect(str(path)), quiet_job())


def refused(path: Path) -> str:
    with pytest.raises(WorkbenchError) as caught:
        look(path)
    assert caught.value.failure.kind == "artifact"
    return caught.value.failure.message


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A directory as Hugging Face's programs write one, its weights in two files."""
    home = tmp_path / "hub"
    home.mkdir()
    tensorfile.save(str(home / "model-00001-of-00002.safetensors"), {"a.weight": torch.zeros(3, 4)})
    tensorfile.save(str(home / "model-00002-of-00002.safetensors"), {"b.bias": torch.zeros(5)})
    index = {
        "metadata": {"total_size": 68},
        "weight_map": {
            "a.weight": "model-00001-of-00002.safetensors",
            "b.bias": "model-00002-of-00002.safetensors",
        },
    }
    (home / "model.safetensors.index.json").write_text(json.dumps(index))
    (home / "config.json").write_text(json.dumps({"architectures": ["BertModel"], "model_type": "bert"}))
    return home


def test_an_index_opens_with_the_tensors_of_all_its_files(folder: Path) -> None:
    found = look(folder / "model.safetensors.index.json")
    assert (found.kind, found.trust, found.tensor_count) == ("index", "DATA", 2)
    assert {one.name: one.shape for one in found.tensors} == {"a.weight": (3, 4), "b.bias": (5,)}
    assert found.metadata["total_size"] == "68"
    assert "2 tensors in 2 files" in found.words[0]


def test_a_directory_says_which_architecture_it_is_of(folder: Path) -> None:
    found = look(folder)
    assert (found.kind, found.trust, found.tensor_count) == ("directory", "DATA", 2)
    assert "BertModel of transformers" in found.words[0]
    assert found.metadata["model_type"] == "bert"


def test_a_config_points_to_its_directory(folder: Path) -> None:
    assert f"workbench inspect {folder}" in look(folder / "config.json").words[0]


def test_code_that_a_config_asks_for_is_named(folder: Path) -> None:
    (folder / "modeling_own.py").write_text("class Own: ...\n")
    config = {"architectures": ["Own"], "auto_map": {"AutoModel": "modeling_own.Own"}}
    (folder / "config.json").write_text(json.dumps(config))
    assert any("modeling_own.py" in words and "runs" in words for words in look(folder).words)


def test_what_an_index_claims_is_held_against_its_files(folder: Path) -> None:
    index = json.loads((folder / "model.safetensors.index.json").read_text())
    index["weight_map"] |= {
        "gone.weight": "model-00001-of-00002.safetensors",
        "c.weight": "not-there.safetensors",
        "d.weight": "../../etc/passwd",
    }
    del index["weight_map"]["b.bias"]
    index["weight_map"]["other"] = "model-00002-of-00002.safetensors"
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    words = "\n".join(look(folder / "model.safetensors.index.json").words)
    assert "gone.weight is not in model-00001-of-00002.safetensors" in words
    assert "not-there.safetensors is missing" in words
    assert "../../etc/passwd does not lie beside the index" in words
    assert "b.bias is in a shard and not in the index" in words
    assert "does not load as it is" in words


def test_a_shard_that_is_a_pickle_of_objects_is_no_data(folder: Path) -> None:
    torch.save(eager("Net"), folder / "pytorch_model.bin")
    (folder / "model.safetensors.index.json").unlink()
    (folder / "x.index.json").write_text(json.dumps({"weight_map": {"fc1.weight": "pytorch_model.bin"}}))
    found = look(folder)
    assert found.trust == "CODE (Python)"
    assert found.unsafe_globals


def test_an_index_that_leads_elsewhere_is_seen_and_loaded_by_one_rule(folder: Path) -> None:
    (folder / "sub").mkdir()
    (folder / "model-00002-of-00002.safetensors").rename(folder / "sub" / "b.safetensors")
    index = {"weight_map": {"a.weight": "model-00001-of-00002.safetensors", "b.bias": "sub/b.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    assert "it does not load as it is" in "\n".join(look(folder).words)
    with pytest.raises(WorkbenchError, match="does not lie beside it"):
        read(str(folder))


def test_an_index_that_names_a_tensor_twice_is_broken(folder: Path) -> None:
    (folder / "i.json").write_text('{"weight_map": {"a": "x.safetensors", "a": "y.safetensors"}}')
    assert "twice" in refused(folder / "i.json")


def test_a_directory_of_other_things_names_some_of_them(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("hello")
    assert "notes.txt" in refused(tmp_path)


# ONNX


def field(number: int, content: bytes | int) -> bytes:
    if isinstance(content, int):
        return varint(number << 3) + varint(content)
    return varint(number << 3 | 2) + varint(len(content)) + content


def varint(value: int) -> bytes:
    found = b""
    while value >= 0x80:
        found += bytes([value & 0x7F | 0x80])
        value >>= 7
    return found + bytes([value])


def small_onnx(raw: bytes = bytes(24), dims: bytes = b"") -> bytes:
    """x float32[batch,3] through one Gemm of a weight [2,3], as protobuf by hand."""
    shape = field(1, field(2, b"batch")) + field(1, field(1, 3))
    value = field(1, b"x") + field(2, field(1, field(1, 1) + field(2, shape)))
    weight = (dims or field(1, 2) + field(1, 3)) + field(2, 1) + field(8, b"w") + field(9, raw)
    node = field(1, b"x") + field(4, b"Gemm")
    graph = field(1, node) + field(2, b"main") + field(5, weight) + field(11, value) + field(12, value)
    return field(1, 10) + field(2, b"by hand") + field(7, graph) + field(8, field(1, b"") + field(2, 20))


def test_an_onnx_model_tells_inputs_weights_and_operators(tmp_path: Path) -> None:
    (tmp_path / "net.bin").write_bytes(small_onnx())
    found = look(tmp_path / "net.bin")
    assert (found.kind, found.trust) == ("onnx", "DATA")
    assert [(one.name, one.dtype, one.shape, one.bytes) for one in found.tensors] == [("w", "float32", (2, 3), 24)]
    text = "\n".join(found.words)
    assert "x float32[batch,3]" in text
    assert "Gemm 1" in text
    assert "opset ai.onnx 20" in text
    assert found.metadata["producer"] == "by hand"


def test_an_onnx_model_of_torch_is_read_as_the_onnx_package_reads_it(tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    net = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2)).eval()
    torch.onnx.export(net, (torch.zeros(2, 3),), str(tmp_path / "net.onnx"), dynamo=False)
    model = onnx.load(tmp_path / "net.onnx")
    found = look(tmp_path / "net.onnx")
    assert {one.name: one.shape for one in found.tensors} == {
        one.name: tuple(one.dims) for one in model.graph.initializer
    }
    assert f"{len(model.graph.node)} nodes" in "\n".join(found.words)


def test_an_onnx_model_that_lies_or_is_cut_off_is_broken(tmp_path: Path) -> None:
    whole = small_onnx()
    path = tmp_path / "net.onnx"
    path.write_bytes(small_onnx(raw=bytes(8)))
    assert "holds 8 bytes" in refused(path)
    path.write_bytes(small_onnx(dims=field(1, (1 << 64) - 5)))
    assert "impossible shape" in refused(path)
    for size in range(6, len(whole)):
        path.write_bytes(whole[:size])
        try:
            look(path)
        except WorkbenchError as problem:
            assert problem.failure.kind == "artifact"  # noqa: PT017 (a cut between two fields leaves a whole message)


def test_weights_of_an_onnx_model_outside_of_its_directory_are_said(tmp_path: Path) -> None:
    place = field(13, field(1, b"location") + field(2, b"../other.data"))
    weight = field(1, 2) + field(2, 1) + field(8, b"w") + place
    (tmp_path / "net.onnx").write_bytes(field(1, 10) + field(2, b"p") + field(7, field(5, weight)))
    assert "outside of its directory" in "\n".join(look(tmp_path / "net.onnx").words)


# what is told besides


def test_a_training_checkpoint_tells_its_epoch_arguments_and_optimizer(tmp_path: Path) -> None:
    for legacy in (False, True):
        path = tmp_path / f"{legacy}.pt"
        torch.save(training(), path, _use_new_zipfile_serialization=not legacy)
        assert look(path).metadata == {
            "epoch": "7",
            "args": "width=8, name=small",
            "model": "1 tensor",
            "ema": "1 tensor",
            "optimizer": "optimizer, lr=0.001, betas=(0.9, 0.999); state of 1 parameter",
        }
    torch.save({"epoch": 10**30, "names": ["a"] * 50, "args": argparse.Namespace(lr=0.1)}, tmp_path / "b.pt")
    assert look(tmp_path / "b.pt").metadata == {
        "epoch": "a number of many digits", "names": "50 items", "args": "lr=0.1"
    }  # fmt: skip
    torch.save({"w": torch.zeros(2)}, tmp_path / "c.pt")
    assert look(tmp_path / "c.pt").metadata == {}


def test_names_that_share_memory_are_told(tmp_path: Path) -> None:
    weight = torch.ones(4, 2)
    torch.save({"e": weight, "o": weight, "view": weight[1:], "own": weight.clone()}, tmp_path / "tied.pt")
    found = look(tmp_path / "tied.pt")
    assert shared(found.tensors) == {"o": "e", "view": "e"}
    out = Console(width=100, file=io.StringIO())
    show_inspection(out, found)
    rows = {line.split()[0]: line for line in out.file.getvalue().splitlines() if line.strip()}  # type: ignore[attr-defined]
    assert rows["o"].rstrip().endswith(" e")
    assert rows["own"].rstrip().endswith("32 B")
    assert "2 of them in the memory of others" in out.file.getvalue()  # type: ignore[attr-defined]
    assert any("o  float32[4,2]  in the memory of e" in words for _, words in inspection_told(found))


def test_a_pickled_module_of_the_old_format_is_told_by_its_own_class(tmp_path: Path) -> None:
    for legacy in (False, True):
        torch.save(eager("Net"), tmp_path / "m.pt", _use_new_zipfile_serialization=not legacy)
        assert look(tmp_path / "m.pt").metadata == {}
        assert "a pickled module (tests.unit.artifact_models.Net)" in look(tmp_path / "m.pt").words[0]


@pytest.mark.parametrize(
    ("begins", "what", "remedy"),
    [
        (b"version https://git-lfs.github.com/spec/v1\n", "a pointer of Git LFS", "git lfs pull"),
        (b"<!DOCTYPE html>", "a web page", "Get it again"),
        (b"GGUF\3\0\0\0", "a GGUF file", ".safetensors"),
        (b"\x1f\x8b\x08\0", "an archive of gzip's", "Unpack it"),
        (b"a.txt".ljust(257, b"\0") + b"ustar\x0000", "a tar archive", "Unpack it"),
        (b"\x93NUMPY\1\0", "a NumPy array", "--inputs"),
    ],
)
def test_what_people_take_for_weights_is_named_by_whoever_reads_it(
    tmp_path: Path, begins: bytes, what: str, remedy: str
) -> None:
    path = tmp_path / "w.safetensors"
    path.write_bytes(begins + bytes(300))
    assert what in look(path).words[0]
    assert remedy in look(path).words[0]
    with pytest.raises(WorkbenchError, match=what) as caught:
        read(str(path))
    assert remedy in caught.value.failure.remedy


def test_ten_gigabytes_open_in_the_time_of_their_header(tmp_path: Path) -> None:
    count = 10 << 28
    head = json.dumps({"x": {"dtype": "F32", "shape": [count], "data_offsets": [0, 4 * count]}}).encode()
    path = tmp_path / "big.safetensors"
    path.write_bytes(struct.pack("<Q", len(head)) + head)
    os.truncate(path, 8 + len(head) + 4 * count)
    found = look(path)
    assert found.tensor_bytes == 4 * count
    assert any("no digest" in words for words in found.words)


def config(home: Path, entry: Any) -> None:
    (home / "config.json").write_text(json.dumps(entry))


@pytest.mark.parametrize("entry", [[], "x", {"architectures": 3}, {"auto_map": {"AutoModel": 5}}, {"architecture": {}}])
def test_a_config_of_odd_things_is_no_crash(folder: Path, entry: Any) -> None:
    config(folder, entry)
    if isinstance(entry, dict):
        assert look(folder).kind == "directory"
    else:
        assert "no JSON object" in refused(folder)


def test_a_dtype_that_this_version_does_not_know_leaves_the_rest_listed(tmp_path: Path) -> None:
    head = {
        "odd": {"dtype": "F6_E2M3", "shape": [4], "data_offsets": [0, 3]},
        "x": {"dtype": "F8_E4M3FNUZ", "shape": [2], "data_offsets": [3, 5]},
    }
    text = json.dumps(head).encode()
    (tmp_path / "a.safetensors").write_bytes(len(text).to_bytes(8, "little") + text + bytes(5))
    found = look(tmp_path / "a.safetensors")
    assert [(one.name, one.dtype, one.shape) for one in found.tensors] == [
        ("odd", "F6_E2M3", (4,)),
        ("x", "float8_e4m3fnuz", (2,)),
    ]
    assert any("F6_E2M3 is a dtype that this version does not know" in words for words in found.words)
