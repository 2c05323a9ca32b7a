"""Kinds of files have one reader: what trust is asked for, what is loaded and what is said of a file are the same."""

from __future__ import annotations

import collections
import contextlib
import datetime
import os
import pickle
import pickletools
import random
import threading
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.unit.artifact_bench import eager, quiet_job
from workbench.protocol.artifacts import Inspection
from workbench.protocol.failures import WorkbenchError
from workbench.protocol.messages import Inspect
from workbench.protocol.pickle_names import allowed_name, wanted_names
from workbench.supervisor.fingerprint import fingerprint
from workbench.worker import tensorfile
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


@pytest.mark.parametrize("name", ["net.safetensors", "net"])
@pytest.mark.parametrize("size", [9, 60, 5000])
def test_a_safetensors_that_is_cut_off_is_said_to_be(tmp_path: Path, name: str, size: int) -> None:
    many = {f"layer{number}.weight": torch.zeros(3) for number in range(200)}
    tensorfile.save(str(tmp_path / name), many)
    (tmp_path / name).write_bytes((tmp_path / name).read_bytes()[:size])
    assert "is broken" in refused(tmp_path / name)


def test_a_file_named_safetensors_that_is_none_is_no_success(tmp_path: Path) -> None:
    (tmp_path / "net.safetensors").write_bytes(bytes(1000))
    assert "its name says .safetensors" in refused(tmp_path / "net.safetensors")
    (tmp_path / "settings").write_bytes(b"settings{}\n")
    assert look(tmp_path / "settings").kind == "unknown"


def test_inspect_and_the_supervisor_read_kinds_alike(tmp_path: Path) -> None:
    net = eager("Net")
    torch.save(net.state_dict(), tmp_path / "a.pt")
    torch.save(net.state_dict(), tmp_path / "b.pt", _use_new_zipfile_serialization=False)
    torch.save(net, tmp_path / "c.pt")
    torch.save({"x": Evil()}, tmp_path / "d.pt", _use_new_zipfile_serialization=False)
    tensorfile.save(str(tmp_path / "e"), {"w": torch.zeros(2)})
    (tmp_path / "f.py").write_text("x = 1\nimport torch\n")
    with zipfile.ZipFile(tmp_path / "g.pt", "w") as archive:  # POP hides which names are meant
        archive.writestr("net/data.pkl", b"\x80\x02}K\x010.")
    for path in sorted(tmp_path.iterdir()):
        seen, found = fingerprint(str(path), threading.Event()), look(path)
        assert (seen.kind, seen.trust, seen.sha256) == (found.kind, found.trust, found.sha256), path.name


def test_what_weights_only_allows_is_what_is_called_data() -> None:
    from torch._weights_only_unpickler import _get_allowed_globals

    strange = [name for name in _get_allowed_globals() if name.startswith(("torch.", "builtins.", "collections."))]
    assert [name for name in strange if not allowed_name(name)] == []
    for name in ("os.system", "builtins.getattr", "torch.load", "torch._utils._rebuild_evil", "torch.nn.Linear"):
        assert not allowed_name(name)


def test_a_long_pickle_of_tensors_is_no_code(tmp_path: Path) -> None:
    """Half a million tensors with the names of a transformer make a pickle of 70 MB; a long text does as well."""
    torch.save({"note": "x" * (70 << 20), "w": torch.ones(2)}, tmp_path / "long.pt")
    found = look(tmp_path / "long.pt")
    assert (found.kind, found.trust, found.tensor_count) == ("state_dict", "DATA", 1)
    assert fingerprint(str(tmp_path / "long.pt"), threading.Event()).kind == "state_dict"


def by_genops(data: bytes) -> list[str]:
    """Names of globals as the standard library reads them; those on a stack are the last two texts."""
    found: list[str] = []
    texts: list[str] = []
    memo: list[str] = []
    for opcode, argument, _ in pickletools.genops(data):
        if opcode.name == "GLOBAL":
            found.append(str(argument).replace(" ", "."))
        elif opcode.name == "STACK_GLOBAL":
            found.append(".".join(texts[-2:]))
        elif opcode.name == "MEMOIZE":
            memo.append(texts[-1] if texts else "")
        elif opcode.name in ("BINGET", "LONG_BINGET"):
            texts.append(memo[argument])
        elif "UNICODE" in opcode.name:
            texts.append(argument)
    return found


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4, 5])
def test_names_are_read_as_the_standard_library_reads_them(protocol: int) -> None:
    values = [{1: (2.5, None, True, "é" * 300)}, 10**400, -5, b"x" * 300, bytearray(b"abc"), frozenset([1]), 1 + 2j,
              "a\nb", datetime.datetime(2020, 1, 1), Evil(), collections.OrderedDict(a=[[]])]  # fmt: skip
    for value in values:
        data = pickle.dumps(value, protocol)
        if protocol > 0:  # PUT and GET, which protocol 0 writes, are refused
            assert list(wanted_names(data)) == by_genops(data)
        for at in range(len(data)):
            with contextlib.suppress(ValueError):
                list(wanted_names(data[:at]))  # and nothing else
                pytest.fail("a pickle that is cut off was read to its end")


@pytest.mark.parametrize(
    ("data", "names"),
    [
        (b"cos\nsystem\n(S'touch pwned'\ntR.", ("os.system",)),
        (b"cos\nsystem\n(S'touch pwned'\ntR.\n", ("os.system",)),
        (b"(S'touch pwned'\nios\nsystem\n.", ("os.system",)),
        (b"\x8c\x02os\x8c\x06system\x93\x8c\x02ls\x85R.", ("os.system",)),
        (b"S'o\\x73'\nS'system'\n\x93(S'ls'\ntR.", ("os.system",)),
        (b"cos\nsystem\n(V" + b"x" * (2 << 20) + b"\ntR.", ("os.system",)),
        (pickle.dumps([1, 2.5, "a", b"raw", None, {"k": (1,)}], 0), ("_codecs.encode",)),
        (pickle.dumps({"steps": list(range(200_000))}, 0), ()),
        (pickle.dumps({"a": [1, 2]}, 1), ()),
        (pickle.dumps(collections.OrderedDict(a=1), 0), ("collections.OrderedDict",)),
    ],
)
def test_a_pickle_without_a_mark_is_told_by_its_opcodes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, data: bytes, names: tuple[str, ...]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "text.pkl").write_bytes(data)
    seen, found = fingerprint(str(tmp_path / "text.pkl"), threading.Event()), look(tmp_path / "text.pkl")
    assert (seen.kind, seen.trust) == (found.kind, found.trust) == ("pickle", "CODE (Python)")
    assert found.globals == names
    assert not (tmp_path / "pwned").exists()


@pytest.mark.parametrize(
    "data",
    [
        b"Nothing to see here.\n", b"I.", b"N.", b"No.", b"company\nof one\n.", b"(see the notes\nof May).", b"()..",
        b"cos\nsystem\n(S'ls'\ntR. And more", b"cos\nsystem\n(S'ls'\ntR", b"cos\nsystem\n(S'ls'\nt(R.", b"........",
        b"Vera\nparis\n.", b"lr: 0.1\nsteps: 3.", b"(1, 2, 3).", b"]" * 5000 + b".", b"x" * (2 << 20) + b".",
        bytes(range(256)) * 9000 + b".",
    ],
)  # fmt: skip
def test_a_text_that_is_no_whole_pickle_is_none(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "notes").write_bytes(data)
    assert fingerprint(str(tmp_path / "notes"), threading.Event()).kind == "unknown"
    assert look(tmp_path / "notes").kind == "unknown"


def zipped(path: Path, data: bytes) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", data)
        archive.writestr("archive/version", "3")


def test_a_pickle_that_inflates_beyond_all_measure_is_not_inflated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = random.Random(0).randbytes(6000)
    zipped(tmp_path / "bomb.pt", b"\x80\x02" + (b"B" + (6000).to_bytes(4, "little") + one + b"0") * 4000 + b"N.")
    with zipfile.ZipFile(tmp_path / "bomb.pt") as archive:
        info = archive.getinfo("archive/data.pkl")
        assert 50 < info.file_size / info.compress_size < 200  # a compressor's, no lie of a directory
    monkeypatch.setattr(zipfile.ZipFile, "open", lambda *_args: pytest.fail("it is inflated"))
    assert fingerprint(str(tmp_path / "bomb.pt"), threading.Event()).kind == "pickle"
    assert "a bomb, or a broken directory" in refused(tmp_path / "bomb.pt")


def test_a_checkpoint_that_was_compressed_is_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.save({f"layer{number}.weight": torch.zeros(1) for number in range(3000)}, tmp_path / "plain.pt")
    with (
        zipfile.ZipFile(tmp_path / "plain.pt") as plain,
        zipfile.ZipFile(tmp_path / "small.pt", "w", zipfile.ZIP_DEFLATED, compresslevel=9) as small,
    ):
        for name in plain.namelist():
            small.writestr(name, plain.read(name))
    monkeypatch.setattr("workbench.protocol.pickle_bounds._ALWAYS", 0)
    assert look(tmp_path / "small.pt").tensor_count == look(tmp_path / "plain.pt").tensor_count == 3000
