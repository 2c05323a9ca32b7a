"""Looking into files: each kind by its content, nothing run, nothing imported, lies and cuts said plainly."""

from __future__ import annotations

import collections
import io
import json
import os
import pickle
import random
import struct
import subprocess
import sys
import time
import tracemalloc
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.unit import artifact_models
from tests.unit.artifact_bench import eager, make, quiet_job, write_manifest
from workbench.protocol.artifacts import Inspection
from workbench.protocol.failures import WorkbenchError
from workbench.protocol.messages import Inspect
from workbench.worker import tensorfile
from workbench.worker.artifact import inspect_tensors
from workbench.worker.artifact.inspect import inspect


def look(path: Path) -> Inspection:
    return inspect(Inspect(str(path)), quiet_job())


def refused(path: Path) -> str:
    with pytest.raises(WorkbenchError) as caught:
        look(path)
    assert caught.value.failure.kind == "artifact"
    return caught.value.failure.message


class Evil:
    def __reduce__(self) -> Any:
        return os.system, ("touch pwned",)


@pytest.fixture
def net() -> Any:
    return eager("Net")


def test_a_state_dict_is_data_with_every_tensor(tmp_path: Path, net: Any) -> None:
    for legacy in (False, True):
        path = tmp_path / f"net{legacy}.anything"
        torch.save(net.state_dict(), path, _use_new_zipfile_serialization=not legacy)
        found = look(path)
        assert (found.kind, found.trust) == ("state_dict", "DATA")
        assert found.unsafe_globals == ()
        assert found.tensor_count == len(net.state_dict())
        shapes = {one.name: (one.dtype, one.shape, one.bytes) for one in found.tensors}
        for name, value in net.state_dict().items():
            size = value.numel() * value.element_size()
            assert shapes[name] == (str(value.dtype).removeprefix("torch."), tuple(value.shape), size)
        assert found.bytes == path.stat().st_size
        assert len(found.sha256) == 64


def test_every_dtype_and_layout_is_told_from_the_header(tmp_path: Path) -> None:
    base = torch.arange(12.0).reshape(3, 4)
    tensors = {
        "bf16": torch.zeros(2, dtype=torch.bfloat16),
        "u16": torch.zeros(3, dtype=torch.uint16),
        "f8": torch.zeros(3, dtype=torch.float8_e4m3fn),
        "c64": torch.zeros(2, dtype=torch.complex64),
        "flag": torch.tensor(True),
        "none": torch.zeros(0, 7),
        "view": base[1:, ::2],
        "whole": base,
        "parameter": torch.nn.Parameter(torch.zeros(2)),
    }
    torch.save(tensors, tmp_path / "a.pt")
    found = {one.name: one for one in look(tmp_path / "a.pt").tensors}
    assert {name: one.dtype for name, one in found.items()} == {
        name: str(value.dtype).removeprefix("torch.") for name, value in tensors.items()
    }
    assert {name: one.shape for name, one in found.items()} == {name: tuple(v.shape) for name, v in tensors.items()}
    assert found["view"].storage == found["whole"].storage
    assert look(tmp_path / "a.pt").unsafe_globals == ()


def test_a_checkpoint_of_training_is_looked_through(tmp_path: Path, net: Any) -> None:
    optimizer = torch.optim.Adam(net.parameters())
    net(torch.ones(4, 5)).sum().backward()
    optimizer.step()
    torch.save({"epoch": 3, "state_dict": net.state_dict(), "optimizer": optimizer.state_dict()}, tmp_path / "a.pt")
    found = look(tmp_path / "a.pt")
    assert found.kind == "state_dict"
    assert "state_dict.fc1.weight" in {one.name for one in found.tensors}
    assert any("checkpoint" in words for words in found.words)


def test_a_pickled_module_names_what_it_would_import(tmp_path: Path, net: Any) -> None:
    torch.save(net, tmp_path / "net.pth")
    found = look(tmp_path / "net.pth")
    assert (found.kind, found.trust) == ("pickle", "CODE (Python)")
    assert f"{artifact_models.__name__}.Net" in found.unsafe_globals
    assert {one.name for one in found.tensors} == set(net.state_dict())


def test_programs_are_told_from_weights(tmp_path: Path, net: Any) -> None:
    x = torch.zeros(4, 5)
    with torch.no_grad():
        torch.jit.save(torch.jit.trace(net, x), str(tmp_path / "weights.pt"))
        dynamic = {"x": {0: torch.export.Dim("batch", min=1, max=64)}}
        torch.export.save(torch.export.export(net, (x,), dynamic_shapes=dynamic), tmp_path / "a.pt2")
    script = look(tmp_path / "weights.pt")
    assert (script.kind, script.trust) == ("torchscript", "CODE (Python)")
    assert "fc1.weight" in {one.name for one in script.tensors}
    program = look(tmp_path / "a.pt2")
    assert program.kind == "pt2"
    assert any("x float32[1..64, 5]" in words for words in program.words)
    assert {one.name: one.shape for one in program.tensors}["fc1.weight"] == (6, 5)


def test_safetensors_bundles_and_strangers(tmp_path: Path, net: Any) -> None:
    tensorfile.save(str(tmp_path / "a.bin"), {"w": torch.zeros(2, 3)}, {"made": "here"})
    found = look(tmp_path / "a.bin")
    assert (found.kind, found.trust, found.metadata) == ("safetensors", "DATA", {"made": "here"})
    assert found.tensors[0].shape == (2, 3)
    stage = tmp_path / "bundle"
    stage.mkdir()
    write_manifest(stage, make(stage, "Net", "trace").manifest, "files")
    bundle = look(stage)
    assert bundle.kind == "bundle"
    assert bundle.tensor_count == 9
    assert "verify.py" in bundle.members
    (tmp_path / "code.py").write_text("import torch\n")
    assert look(tmp_path / "code.py").kind == "python"
    (tmp_path / "m.onnx").write_bytes(b"\x08\x09\x12\x07pytorch\x3a\x00")
    assert look(tmp_path / "m.onnx").kind == "onnx"
    (tmp_path / "noise").write_bytes(random.Random(0).randbytes(500))
    assert look(tmp_path / "noise").kind == "unknown"
    with zipfile.ZipFile(tmp_path / "b.zip", "w") as archive:
        archive.writestr("readme.txt", "hello")
    assert look(tmp_path / "b.zip").kind == "unknown"


def test_nothing_of_a_hostile_pickle_is_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"a": torch.ones(2), "x": Evil()}, "a.pt")
    torch.save({"x": Evil()}, "b.pt", _use_new_zipfile_serialization=False)
    Path("c.pkl").write_bytes(pickle.dumps(Evil()))
    Path("d.pkl").write_bytes(b"\x80\x02cposix\nsystem\n(X\x0b\x00\x00\x00touch pwnedtR.")
    for name in ("a.pt", "b.pt", "c.pkl", "d.pkl"):
        found = look(Path(name))
        assert found.kind == "pickle"
        assert found.trust == "CODE (Python)"
        assert "posix.system" in found.unsafe_globals
    assert not Path("pwned").exists()


def test_what_is_no_file_is_said_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert "is a pipe" in refused(tmp_path / "pipe")
    assert "There is no file" in refused(tmp_path / "absent")
    assert "neither a bundle nor" in refused(tmp_path)
    (tmp_path / "empty").write_bytes(b"")
    assert "empty" in refused(tmp_path / "empty")


def test_bounds_hold_against_lies(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "bomb.pt", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", b"\x80\x02" + b"N0" * 20_000_000)
    assert "bomb" in refused(tmp_path / "bomb.pt")
    lies = {
        "memo": b"\x80\x02Nr\xff\xff\xff\xff.",
        "length": b"\x80\x02X\xff\xff\xff\x7fabc.",
        "long": b"\x80\x04\x8e\xff\xff\xff\xff\xff\xff\xff\x7f.",
        "mark": b"\x80\x02ttt.",
        "opcode": b"\x80\x02\xff.",
        "digits": b"\x80\x02L" + b"9" * 100_000 + b"L\n.",
    }
    for name, data in lies.items():
        (tmp_path / name).write_bytes(data)
        started = time.process_time()
        if name == "memo":
            look(tmp_path / name)
        else:
            refused(tmp_path / name)
        assert time.process_time() - started < 5
    torch.save({"big": torch.zeros(1).expand(10**6, 10**6)}, tmp_path / "expanded.pt")
    found = look(tmp_path / "expanded.pt")
    assert found.tensor_bytes == 4
    assert any("more elements than are stored" in words for words in found.words)


def test_a_tensor_beyond_its_storage_is_a_broken_file(tmp_path: Path) -> None:
    torch.save({"w": torch.zeros(4)}, tmp_path / "a.pt")
    with zipfile.ZipFile(tmp_path / "a.pt") as archive, zipfile.ZipFile(tmp_path / "b.pt", "w") as other:
        for info in archive.infolist():
            data = archive.read(info)
            if info.filename.endswith("data.pkl"):
                data = data.replace(b"K\x04\x85", b"K\x63\x85", 1)
            other.writestr(info.filename, data)
    assert "reaches to byte 396, and its storage has 16" in refused(tmp_path / "b.pt")


def test_itself_and_deep_nesting_come_to_an_end(tmp_path: Path) -> None:
    loop: dict[str, Any] = {"w": torch.ones(1)}
    loop["self"] = loop
    torch.save(loop, tmp_path / "loop.pt")
    assert look(tmp_path / "loop.pt").tensor_count == 1
    (tmp_path / "deep.pkl").write_bytes(b"\x80\x02" + b"(" * 100_000 + b"N" + b"t" * 100_000 + b".")
    assert look(tmp_path / "deep.pkl").kind == "pickle"


def rebuilt(function: bytes, *, args: bytes) -> bytes:
    """A pickle of one call of torch._utils."""
    return b"\x80\x02ctorch._utils\n" + function + b"\n" + args + b"R."


STORAGE = b"((X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpuK\x04tQ"
"""A mark, and behind it a reference to a storage of four floats."""


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"\x80\x04)" + b"2\x86" * 60 + b"\x8c\x01x\x93.", "a name of what is no text"),
        (b"\x80\x04)" + b"\x85" * 5000 + b"\x8c\x01x\x93.", "a name of what is no text"),
        (rebuilt(b"_rebuild_tensor_v2", args=STORAGE + b"NK\x04\x85K\x01\x85t"), "impossible layout"),
        (rebuilt(b"_rebuild_tensor_v2", args=STORAGE + b"K\x00(" + b"\x8a\x08" + b"\xff" * 7 + b"\x1f" * 1
                 + b"2" * 100_000 + b"t2t"), "impossible shape"),
        (rebuilt(b"_rebuild_tensor_v2", args=STORAGE + b"K\x00(" + (b"\x8a\x08" + b"\xff" * 7 + b"\x1f") * 3
                 + b"t2t"), "more elements than there can be"),
        (rebuilt(b"_rebuild_tensor_v2", args=STORAGE.replace(b"X\x01\x00\x00\x000", b")" + b"\x85" * 2000)
                 + b"K\x00K\x04\x85K\x01\x85t"), "storage without a name"),
    ],
)  # fmt: skip
def test_pickles_that_no_program_writes_are_refused_in_words(tmp_path: Path, data: bytes, words: str) -> None:
    with zipfile.ZipFile(tmp_path / "odd.pt", "w") as archive:
        archive.writestr("odd/data.pkl", data)
        archive.writestr("odd/data/0", b"\0" * 16)
    assert words in refused(tmp_path / "odd.pt")


def test_what_is_called_with_nothing_is_no_tensor(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "odd.pt", "w") as archive:
        archive.writestr("odd/data.pkl", rebuilt(b"_rebuild_meta_tensor_no_storage", args=b")"))
    assert look(tmp_path / "odd.pt").tensor_count == 0


def test_long_keys_within_each_other_and_shared_parts_cost_no_more_than_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inspect_tensors, "NODES", 300_000)
    key = b"X" + struct.pack("<I", 1 << 20) + b"k" * (1 << 20) + b"q\x00"
    nested = b"\x80\x02" + key + b"0" + b"}h\x00" * 1501 + b"N" + b"s" * 1501 + b"."
    (tmp_path / "nested.pkl").write_bytes(nested)
    tracemalloc.start()
    assert look(tmp_path / "nested.pkl").kind == "pickle"
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < 64 << 20
    # one tuple of a hundred thousand numbers, as the arguments of a hundred thousand calls
    wide = b"(" + b"K\x01" * 100_000 + b"tq\x01" + b"ccollections\nOrderedDict\nq\x02"
    (tmp_path / "wide.pkl").write_bytes(b"\x80\x02(" + wide + b"h\x02h\x01R" * 100_000 + b"l.")
    with zipfile.ZipFile(tmp_path / "wide.pt", "w") as archive:
        archive.write(tmp_path / "wide.pkl", "wide/data.pkl")
    assert any("nested too deep, or too many" in words for words in look(tmp_path / "wide.pt").words)


def test_an_index_in_the_place_of_a_shard_is_not_followed(tmp_path: Path) -> None:
    both = {"weight_map": {"a": "a.index.json", "b": "b.index.json"}}
    for name in ("a.index.json", "b.index.json"):
        (tmp_path / name).write_text(json.dumps(both))
    found = look(tmp_path / "a.index.json")
    assert "a.index.json is an index, and no file of tensors" in found.words


def test_a_hundred_thousand_keys_are_looked_at_in_time(tmp_path: Path) -> None:
    shared = torch.zeros(1)
    torch.save(collections.OrderedDict((f"layer.{i}", shared) for i in range(100_000)), tmp_path / "many.pt")
    started = time.process_time()
    found = look(tmp_path / "many.pt")
    assert time.process_time() - started < 30
    assert found.tensor_count == 100_000
    assert len(found.tensors) == 20_000


def test_files_that_are_cut_or_flipped_never_do_worse_than_a_plain_refusal(tmp_path: Path, net: Any) -> None:
    chance = random.Random(1)
    originals = {}
    for name, legacy in (("new.pt", False), ("old.pt", True)):
        stream = io.BytesIO()
        torch.save(net.state_dict(), stream, _use_new_zipfile_serialization=not legacy)
        originals[name] = stream.getvalue()
    tensorfile.save(str(tmp_path / "s"), net.state_dict())
    originals["s.safetensors"] = (tmp_path / "s").read_bytes()
    originals["p.pkl"] = pickle.dumps({"a": [1, 2, (3, {4, 5})], "b": Evil()})
    for name, data in originals.items():
        for _ in range(80):
            broken = bytearray(data)
            if chance.random() < 0.5:
                del broken[chance.randrange(1, len(data)) :]
            else:
                for _ in range(chance.randrange(1, 6)):
                    broken[chance.randrange(len(data))] = chance.randrange(256)
            (tmp_path / name).write_bytes(broken)
            try:
                look(tmp_path / name)
            except WorkbenchError as problem:
                assert problem.failure.kind == "artifact"  # noqa: PT017 (either end is right)


def test_a_lying_safetensors_header_is_refused(tmp_path: Path) -> None:
    for head in (b'{"w":{"dtype":"F32","shape":[1000000000],"data_offsets":[0,4]}}', b"{" * 1000, b'{"w":3}'):
        (tmp_path / "a").write_bytes(struct.pack("<Q", len(head)) + head + b"\0\0\0\0")
        refused(tmp_path / "a")


def test_torch_is_not_imported_for_it(tmp_path: Path, net: Any) -> None:
    torch.save(net, tmp_path / "net.pt")
    code = (
        "import sys; from workbench.worker.artifact.inspect import inspect; from workbench.worker.job import Job; "
        "from workbench.protocol.messages import Inspect; "
        "found = inspect(Inspect(sys.argv[1]), Job(1, lambda body, number: None)); "
        "assert found.tensor_count == 9; assert 'torch' not in sys.modules; assert 'tests' not in sys.modules"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "net.pt")]
    root = Path(__file__).resolve().parents[2]
    ended = subprocess.run(command, capture_output=True, text=True, cwd=root, timeout=60, check=False)
    assert ended.returncode == 0, ended.stderr
