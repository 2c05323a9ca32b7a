"""Our reader and writer of .safetensors, against the reference implementation and against liars."""

from __future__ import annotations

import json
import os
import struct
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch

from workbench.protocol.failures import WorkbenchError
from workbench.worker import tensorfile
from workbench.worker.bench import weights

TENSORS = {
    "f32": torch.randn(3, 4),
    "f64": torch.randn(2).double(),
    "f16": torch.randn(5).half(),
    "bf16": torch.randn(5).bfloat16(),
    "i64": torch.arange(7),
    "u8": torch.arange(3, dtype=torch.uint8),
    "flag": torch.tensor([True, False, True]),
    "scalar": torch.tensor(2.5),
    "empty": torch.zeros(0, 3),
    "c64": torch.randn(2, dtype=torch.complex64),
    "turned": torch.randn(3, 4).t(),
    "wide": torch.ones(1, 3).expand(4, 3),
}


def write(path: Path, head: Any, data: bytes = b"", length: int | None = None) -> str:
    text = head if isinstance(head, bytes) else json.dumps(head).encode()
    path.write_bytes(struct.pack("<Q", len(text) if length is None else length) + text + data)
    return str(path)


def slot(dtype: str = "F32", shape: Any = (2,), begin: int = 0, end: int = 8) -> dict[str, Any]:
    return {"dtype": dtype, "shape": list(shape), "data_offsets": [begin, end]}


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(a[k].dtype == b[k].dtype and torch.equal(a[k], b[k]) for k in a)


def test_the_reference_reads_what_we_write_and_we_read_what_it_writes(tmp_path: Path) -> None:
    ours, theirs = str(tmp_path / "ours"), str(tmp_path / "theirs")
    tensorfile.save(ours, TENSORS, {"made": "here"})
    assert same(safetensors.torch.load_file(ours), TENSORS)
    safetensors.torch.save_file({name: tensor.contiguous() for name, tensor in TENSORS.items()}, theirs)
    assert same(tensorfile.load(theirs), TENSORS)
    slots, metadata = tensorfile.header(ours)
    assert metadata == {"made": "here"}
    assert slots["f32"].dtype == "float32"
    assert slots["f32"].shape == (3, 4)


NARROW = [torch.float8_e4m3fn, torch.float8_e5m2, torch.float8_e4m3fnuz, torch.float8_e5m2fnuz, torch.float8_e8m0fnu]


@pytest.mark.parametrize("dtype", [*NARROW, torch.float4_e2m1fn_x2])
def test_narrow_floats_go_to_the_reference_and_back(tmp_path: Path, dtype: torch.dtype) -> None:
    ours, theirs = str(tmp_path / "ours"), str(tmp_path / "theirs")
    raw = torch.arange(120, dtype=torch.uint8).reshape(3, 5, 8)
    tensorfile.save(ours, {"x": raw.view(dtype), "none": raw[:0].view(dtype)})
    for path in (ours, theirs):
        if path == theirs:
            if dtype in (torch.float8_e8m0fnu, torch.float4_e2m1fn_x2):
                return  # the reference's Python part has no word for them
            safetensors.torch.save_file({"x": raw.view(dtype)}, theirs)
        read = tensorfile.load(path)["x"]
        assert read.dtype == dtype
        assert torch.equal(read.view(torch.uint8), raw)
    with safetensors.safe_open(ours, "pt") as opened:
        assert opened.get_slice("x").get_shape() == [3, 5, 8]


def test_a_dtype_that_is_not_known_is_listed_with_the_others(tmp_path: Path) -> None:
    head = {"odd": slot("F6_E2M3", [4], 0, 3), "x": slot("F32", [2], 3, 11)}
    path = write(tmp_path / "x.safetensors", head, bytes(11))
    slots, _ = tensorfile.header(path)
    assert {name: (one.dtype, one.shape, one.bytes) for name, one in slots.items()} == {
        "odd": ("F6_E2M3", (4,), 3),
        "x": ("float32", (2,), 8),
    }
    with pytest.raises(WorkbenchError) as caught:
        weights.read(path)
    assert "'odd' has a dtype that is not known to torch" in caught.value.failure.message
    assert "F6_E2M3" in caught.value.failure.message
    assert "Copy it again" not in caught.value.failure.remedy


@pytest.mark.parametrize("before", [0, 8, 4000])
def test_a_private_mapping_has_the_same_tensors_and_writing_changes_no_file(tmp_path: Path, before: int) -> None:
    path = tmp_path / "x.safetensors"
    tensorfile.save(str(path), TENSORS)
    content = b"\0" * before + path.read_bytes()
    path.write_bytes(content)
    with open(path, "rb", buffering=0) as stream:
        stream.seek(before)
        loaded = tensorfile.mapped(stream)
    assert same(loaded, TENSORS)
    loaded["f32"].zero_()
    assert path.read_bytes() == content


def test_a_file_that_changes_afterwards_changes_nothing_here(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    tensorfile.save(str(path), {"x": torch.ones(1000)})
    loaded = tensorfile.load(str(path))["x"]
    with open(path, "r+b") as stream:
        stream.truncate(10)
    assert loaded.sum() == 1000
    loaded.zero_()


def test_tensors_can_be_written_to_in_place_each_on_its_own(tmp_path: Path) -> None:
    path = str(tmp_path / "x.safetensors")
    tensorfile.save(path, {"a": torch.ones(4), "b": torch.ones(4), "odd": torch.tensor([True] * 3)})
    loaded = tensorfile.load(path)
    loaded["a"].zero_()
    assert loaded["b"].sum() == 4
    assert all(tensor.data_ptr() % tensor.element_size() == 0 for tensor in loaded.values())


def test_misaligned_data_of_others_is_read_right(tmp_path: Path) -> None:
    head = {"flag": slot("BOOL", [1], 0, 1), "x": slot("F32", [2], 1, 9)}
    loaded = tensorfile.load(write(tmp_path / "x", head, b"\x01" + struct.pack("<2f", 1.5, -2)))
    assert loaded["x"].tolist() == [1.5, -2]
    assert loaded["x"].data_ptr() % 4 == 0


@pytest.mark.parametrize(
    ("head", "data", "words"),
    [
        (b"", b"", "no JSON"),
        (b"[]", b"", "no JSON object"),
        (b"\xff\xfe", b"", "no JSON"),
        (b"[" * 50_000, b"", "no JSON"),
        ({"x": slot()}, b"\0" * 7, "cut off"),
        ({"x": slot()}, b"\0" * 9, "more behind"),
        ({"x": slot(end=4)}, b"\0" * 4, "claims 4 bytes"),
        ({"x": slot(shape=[10**9, 10**9])}, b"\0" * 8, "claims 8 bytes"),
        ({"x": slot(shape=[-1, -2])}, b"\0" * 8, "impossible shape"),
        ({"x": slot(shape=[True, 2])}, b"\0" * 8, "impossible shape"),
        ({"x": slot(begin=8, end=0)}, b"\0" * 8, "impossible offsets"),
        ({"x": slot(dtype="F33")}, b"\0" * 8, "not known"),
        ({"x": slot(dtype="float32")}, b"\0" * 8, "has no dtype"),
        ({"x": slot(dtype="SYMBOL")}, b"\0" * 8, "not known"),
        ({"x": slot("F4", [3], 0, 2)}, b"\0" * 2, "claims 2 bytes, and float4_e2m1fn_x2[3] has 1.5"),
        ({"x": slot("F32", [1234567], 0, 4)}, b"\0" * 4, "claims 4 bytes, and float32[1234567] has 4938268"),
        ({"x": slot("F32", [2**62] * 64, 0, 4)}, b"\0" * 4, "more than there can be"),
        ({"x": slot("F32", [10**4000] * 64, 0, 4)}, b"\0" * 4, "more than there can be"),
        ({"x": slot("F4", [2, 3, 1], 0, 3)}, b"\0" * 3, "must be even"),
        ({"x": {"dtype": "F32"}}, b"", "nothing usable"),
        ({"x": 3}, b"", "nothing usable"),
        ({"x": slot(), "y": slot()}, b"\0" * 8, "overlaps"),
        ({"x": slot(begin=8, end=16)}, b"\0" * 16, "hole"),
        (b'{"x":{"dtype":"U8","shape":[0],"data_offsets":[0,0]},"x":1}', b"", "'x' twice"),
        ({"__metadata__": {"a": 1}}, b"", "metadata"),
        ({"x": slot("BOOL", [1], 0, 1)}, b"\x02", "neither 0 nor 1"),
    ],
)
def test_a_lying_header_is_refused_in_plain_words(tmp_path: Path, head: Any, data: bytes, words: str) -> None:
    with pytest.raises(ValueError, match=r"(?s).") as caught:
        tensorfile.load(write(tmp_path / "x", head, data))
    assert words in str(caught.value)


@pytest.mark.parametrize("length", [0, 7, 2**63, 2**64 - 1, 200_000_000])
def test_a_lying_length_is_refused(tmp_path: Path, length: int) -> None:
    with pytest.raises(ValueError, match="safetensors"):
        tensorfile.load(write(tmp_path / "x", b"{}", b"", length))


def test_every_truncation_is_refused(tmp_path: Path) -> None:
    whole = tmp_path / "whole"
    tensorfile.save(str(whole), {"x": torch.ones(3), "y": torch.zeros(2, 2)})
    data = whole.read_bytes()
    for size in range(len(data)):
        (tmp_path / "cut").write_bytes(data[:size])
        with pytest.raises(ValueError, match=r"."):
            tensorfile.load(str(tmp_path / "cut"))


def test_a_fifo_does_not_hang(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(ValueError, match="regular"):
        tensorfile.load(str(tmp_path / "fifo"))


@pytest.mark.parametrize(
    "tensor", [torch.eye(2).to_sparse(), torch.empty(2, device="meta"), torch.randn(2, dtype=torch.complex128)]
)
def test_what_the_format_cannot_hold_is_refused_and_nothing_is_written(tmp_path: Path, tensor: torch.Tensor) -> None:
    with pytest.raises(ValueError, match="'x'"):
        tensorfile.save(str(tmp_path / "x"), {"x": tensor})
    assert list(tmp_path.iterdir()) == []
