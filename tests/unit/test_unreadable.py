"""A file that may not be read: each reader says so in plain words, with the file and what to do, and nothing hangs.

The refusal is the operating system's own PermissionError, raised where the file is opened, so that it does not matter
who runs the tests; where that is not root, a real file without any permission is read as well.
"""

from __future__ import annotations

import builtins
import errno
import io
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from workbench.client.arguments import arguments_in
from workbench.protocol.captures import read_capture
from workbench.protocol.convert import ConvertPickled
from workbench.protocol.exits import exit_for
from workbench.protocol.failures import Failure, WorkbenchError
from workbench.protocol.inspected import InspectPair
from workbench.protocol.messages import Inspect
from workbench.protocol.model import Recipe
from workbench.supervisor.fingerprint import fingerprint
from workbench.supervisor.scan import scan
from workbench.worker.artifact.inspect import inspect
from workbench.worker.artifact.inspect_pair import inspect_pair
from workbench.worker.bench import load, weights
from workbench.worker.bench.converting import convert
from workbench.worker.job import Job

JOB = Job(1, lambda body, number: None)
SOURCE = "import torch\n\nclass Net(torch.nn.Linear):\n    def __init__(self):\n        super().__init__(3, 2)\n"


def opened(path: Path) -> Any:
    return load.build(Recipe(f"{path}:Net"), JOB)


def filled(path: Path) -> Any:
    (path.parent / "net.py").write_text(SOURCE)
    return load.build(Recipe(f"{path.parent}/net.py:Net", weights=str(path)), JOB)


def fed(path: Path) -> Any:
    (path.parent / "net.py").write_text(SOURCE)
    return load.build(Recipe(f"{path.parent}/net.py:Net", inputs_files=(str(path),)), JOB)


READERS: dict[str, tuple[str, Callable[[Path], Any]]] = {
    "weights": ("w.pt", lambda path: weights.read(str(path))),
    "weights of a model": ("w.safetensors", filled),
    "source": ("m.py", opened),
    "scan": ("m.py", lambda path: scan(str(path), threading.Event())),
    "inputs .pt": ("x.pt", fed),
    "inputs .json": ("x.json", fed),
    "inputs .safetensors": ("x.safetensors", fed),
    "inputs .npy": ("x.npy", fed),
    "inputs .npz": ("x.npz", fed),
    "arguments": ("c.json", lambda path: arguments_in(str(path))),
    "inspect": ("w.pt", lambda path: inspect(Inspect(str(path)), JOB)),
    "inspect two": ("w.pt", lambda path: inspect_pair(InspectPair(str(path), str(path)), JOB)),
    "fingerprint": ("w.pt", lambda path: fingerprint(str(path), threading.Event())),
    "convert": ("w.pt", lambda path: convert(ConvertPickled(str(path), "", str(path) + "-out", "/"), JOB)),
    "capture": ("capture.json", lambda path: read_capture(str(path.parent))),
    "index of shards": ("model.safetensors.index.json", lambda path: weights.read(str(path))),
}


@pytest.fixture(autouse=True)
def _imports_taken_back() -> Iterator[None]:
    load.IMPORTS.go_back(None)
    yield
    load.IMPORTS.go_back(None)


def refusing(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the operating system refuse to open this one file."""

    def wrapped(real: Callable[..., Any]) -> Callable[..., Any]:
        def opens(file: Any, *given: Any, **more: Any) -> Any:
            if isinstance(file, str | os.PathLike) and os.fspath(file) == str(path):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
            return real(file, *given, **more)

        return opens

    monkeypatch.setattr(os, "open", wrapped(os.open))
    ordinary = wrapped(builtins.open)
    monkeypatch.setattr(builtins, "open", ordinary)
    monkeypatch.setattr(io, "open", ordinary)


def failure_of(read: Callable[[Path], Any], path: Path) -> Failure:
    with pytest.raises(WorkbenchError) as caught:
        read(path)
    return caught.value.failure


def is_plain(failure: Failure, path: Path) -> None:
    assert exit_for(failure.kind) in (2, 3)
    assert "ermission denied" in failure.message
    assert "Errno" not in failure.message
    assert path.name in failure.message + failure.where
    assert failure.remedy


@pytest.mark.parametrize("reader", READERS)
def test_a_refusal_of_the_operating_system_is_said_plainly(
    reader: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name, read = READERS[reader]
    path = tmp_path / name
    torch.save({"weight": torch.ones(2, 3)}, path)
    refusing(path, monkeypatch)
    is_plain(failure_of(read, path), path)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
@pytest.mark.parametrize("reader", READERS)
def test_a_real_file_without_permissions(reader: str, tmp_path: Path) -> None:
    name, read = READERS[reader]
    path = tmp_path / name
    torch.save({"weight": torch.ones(2, 3)}, path)
    path.chmod(0)
    is_plain(failure_of(read, path), path)
