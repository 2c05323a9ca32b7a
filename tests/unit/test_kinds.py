"""Kinds of files have one reader: what trust is asked for, what is loaded and what is said of a file are the same."""

from __future__ import annotations

import os
import threading
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.unit.artifact_bench import eager, quiet_job
from workbench.protocol.artifacts import Inspection
from workbench.protocol.failures import WorkbenchError
from workbench.protocol.kinds import allowed_name
from workbench.protocol.messages import Inspect
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
