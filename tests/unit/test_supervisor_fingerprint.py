"""Kind by content, digest, and what loading would run. Files are made by hand: no torch here."""

from __future__ import annotations

import collections
import hashlib
import io
import json
import os
import pickle
import struct
import threading
import zipfile
from pathlib import Path

import pytest

from workbench.protocol.failures import WorkbenchError
from workbench.protocol.pickle_names import wanted_names
from workbench.supervisor import fingerprint as fingerprinting
from workbench.supervisor.fingerprint import fingerprint


def look(path: Path):
    return fingerprint(str(path), threading.Event())


def archive(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as file:
        for name, data in members.items():
            file.writestr(f"net/{name}", data)
    return path


def tensors_pickle(module: str = "torch._utils", name: str = "_rebuild_tensor_v2") -> bytes:
    """Protocol 2, as torch.save writes it: an OrderedDict with one global called."""
    ordered = pickle.dumps(collections.OrderedDict(), 2)
    assert ordered.endswith(b".")
    return ordered[:-1] + b"c" + f"{module}\n{name}\n".encode() + b"\x86."


def safetensors(header: object) -> bytes:
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + bytes(16)


FILES = {
    "safetensors": safetensors({"w": {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}}),
    "python": b"import torch\n\nclass Net(torch.nn.Module):\n    pass\n",
    "pickle": pickle.dumps({"model": print}),
    "onnx": b"\x08\x0a\x12\x07pytorch\x1a\x052.13.0" + bytes(40),
    "unknown": b"just some words, and no code in them\n",
}


@pytest.mark.parametrize("kind", FILES)
def test_kind_comes_from_the_content_and_never_from_the_name(tmp_path: Path, kind: str):
    for name in ("net.pt", "net.safetensors", "net"):
        path = tmp_path / name
        path.write_bytes(FILES[kind])
        seen = look(path)
        assert (seen.kind, seen.sha256) == (kind, hashlib.sha256(FILES[kind]).hexdigest())


@pytest.mark.parametrize(
    ("members", "kind", "trust"),
    [
        ({"data.pkl": tensors_pickle()}, "state_dict", "DATA"),
        ({"data.pkl": tensors_pickle("torch", "FloatStorage")}, "state_dict", "DATA"),
        ({"data.pkl": tensors_pickle("torch.nn.modules.linear", "Linear")}, "pickle", "CODE (Python)"),
        ({"data.pkl": tensors_pickle("os", "system")}, "pickle", "CODE (Python)"),
        ({"data.pkl": tensors_pickle("torch._utils_evil", "f")}, "pickle", "CODE (Python)"),
        ({"data.pkl": tensors_pickle("builtins", "setattr")}, "pickle", "CODE (Python)"),
        ({"data.pkl": b"\x80\x02garbage"}, "pickle", "CODE (Python)"),
        ({"data.pkl": b"", "constants.pkl": b"", "code/__torch__.py": b""}, "torchscript", "CODE (Python)"),
        ({"models/model.json": b"{}", "archive_format": b"pt2"}, "pt2", "CODE (Python)"),
        ({"models/model.json": b"{}", "data/aotinductor/model/a.so": b""}, "aoti", "CODE (native)"),
        ({"hello.txt": b"hi"}, "unknown", "CODE (Python)"),
    ],
)
def test_archives(tmp_path: Path, members: dict[str, bytes], kind: str, trust: str):
    seen = look(archive(tmp_path / "net.pt", members))
    assert (seen.kind, seen.trust) == (kind, trust)


def test_a_shared_library_is_native_code(tmp_path: Path):
    path = tmp_path / "model.so"
    path.write_bytes(b"\x7fELF" + bytes(100))
    assert look(path).trust == "CODE (native)"


def test_names_of_newer_pickles_are_read_through_the_memo():
    data = pickle.dumps([collections.OrderedDict, collections.Counter, collections.OrderedDict], 4)
    assert set(wanted_names(data)) == {"collections.OrderedDict", "collections.Counter"}


def test_a_stack_that_is_arranged_to_mislead_is_not_called_data(tmp_path: Path):
    text = lambda word: b"\x8c" + bytes([len(word)]) + word  # noqa: E731
    harmless = text(b"collections") + text(b"OrderedDict")
    cunning = b"\x80\x04" + text(b"os") + text(b"system") + harmless + b"00" + b"\x93."
    with pytest.raises(ValueError, match="POP"):
        list(wanted_names(cunning))
    assert look(archive(tmp_path / "net.pt", {"data.pkl": cunning})).kind == "pickle"


@pytest.mark.parametrize(
    "data",
    [b"", b"PK\x03\x04", b"PK\x03\x04" + bytes(100), struct.pack("<Q", 1 << 60) + b"{}", safetensors([1])[:20]],
)
def test_broken_files_are_unknown_and_not_an_error(tmp_path: Path, data: bytes):
    path = tmp_path / "broken"
    path.write_bytes(data)
    assert look(path).kind == "unknown"


def bundle(path: Path, manifest: object) -> Path:
    path.mkdir()
    (path / "manifest.json").write_text(json.dumps(manifest))
    return path


@pytest.mark.parametrize(
    ("manifest", "trust"),
    [
        ({"kind": "export"}, "CODE (Python)"),
        ({"kind": "trace"}, "CODE (Python)"),
        ({"kind": "weights"}, "DATA"),
        ({"kind": "weights", "architecture": {"file": "architecture/net.py", "name": "Net"}}, "CODE (Python)"),
        ({"kind": "aoti"}, "CODE (native)"),
    ],
)
def test_a_bundle_is_its_manifest(tmp_path: Path, manifest: dict[str, object], trust: str):
    path = bundle(tmp_path / "bundle", {"schema": 1, **manifest})
    seen = look(path)
    assert (seen.kind, seen.trust) == ("bundle", trust)
    assert seen.sha256 == hashlib.sha256((path / "manifest.json").read_bytes()).hexdigest()


def test_what_cannot_be_looked_at_says_so(tmp_path: Path):
    os.mkfifo(tmp_path / "fifo")
    bundle(tmp_path / "odd", ["no manifest"])
    (tmp_path / "empty").mkdir()
    for name, words in (
        ("absent", "No such file"),
        ("fifo", "no regular file"),
        ("empty", "without a manifest.json"),
        ("odd", "schema 1 is wanted"),
    ):
        with pytest.raises(WorkbenchError) as caught:
            look(tmp_path / name)
        assert caught.value.failure.kind == "artifact"
        assert words in caught.value.failure.message


def test_it_can_be_stopped(tmp_path: Path):
    path = tmp_path / "big"
    path.write_bytes(bytes(100))
    stop = threading.Event()
    stop.set()
    with pytest.raises(WorkbenchError) as caught:
        fingerprint(str(path), stop)
    assert caught.value.failure.kind == "cancelled"


def test_a_legacy_checkpoint_is_recognised(tmp_path: Path):
    legacy = io.BytesIO()
    legacy.write(b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.")
    for part in (1001, {"little_endian": True}, collections.OrderedDict(a=1)):
        pickle.dump(part, legacy, 2)
    path = tmp_path / "old.pt"
    path.write_bytes(legacy.getvalue())
    assert look(path).kind == "state_dict"


def test_what_is_written_to_while_it_is_looked_at_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = tmp_path / "net.pt"
    path.write_bytes(FILES["safetensors"])
    real = fingerprinting.digest_of

    def swapped(stream, stop):
        path.write_bytes(FILES["pickle"])
        return real(stream, stop)

    monkeypatch.setattr(fingerprinting, "digest_of", swapped)
    with pytest.raises(WorkbenchError) as caught:
        look(path)
    assert caught.value.failure.kind == "artifact"
    assert "written to" in caught.value.failure.message


def test_a_manifest_that_is_a_link_is_none(tmp_path: Path):
    path = bundle(tmp_path / "bundle", {"schema": 1, "kind": "weights"})
    (path / "manifest.json").rename(tmp_path / "elsewhere.json")
    (path / "manifest.json").symlink_to(tmp_path / "elsewhere.json")
    with pytest.raises(WorkbenchError) as caught:
        look(path)
    assert "a symbolic link, which a bundle may not hold" in caught.value.failure.message
