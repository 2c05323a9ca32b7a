"""Copies of files that nobody else can change, and digests that are made while others go on."""

from __future__ import annotations

import hashlib
import mmap
import os
import queue
import threading
from pathlib import Path
from typing import Any

import pytest

from tests.unit import bench_models
from workbench.protocol.messages import Load, WeightsHashed
from workbench.protocol.model import Recipe
from workbench.worker import tensorfile
from workbench.worker.bench import snapshot
from workbench.worker.bench.bench import Bench
from workbench.worker.bench.snapshot import PrivateCopy
from workbench.worker.job import Job

CONTENT = os.urandom(100_000)


@pytest.fixture(params=["kernel", "by hand"])
def file(tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file of several steps, copied in either way."""
    monkeypatch.setattr(snapshot, "_STEP", 30_000)
    if request.param == "by hand":
        monkeypatch.setattr(snapshot.sys, "platform", "elsewhere")  # type: ignore[attr-defined]
        monkeypatch.delattr(os, "memfd_create")
    path = tmp_path / "weights"
    path.write_bytes(CONTENT)
    return path


def test_a_copy_stays_what_the_file_was(file: Path) -> None:
    with PrivateCopy(str(file)) as copy:
        file.write_bytes(b"something else")
        with copy.stream() as stream:
            assert stream.read() == CONTENT
        assert copy.digest().wait() == hashlib.sha256(CONTENT).hexdigest()
        name = copy.name
    assert not os.path.exists(name)


def test_a_digest_made_on_the_side_is_of_the_file_whatever_is_written_to_a_mapping(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshot, "AT_ONCE", 0)
    told: list[str] = []
    with PrivateCopy(str(file)) as copy, copy.stream() as stream:
        memory = mmap.mmap(stream.fileno(), 0, flags=mmap.MAP_PRIVATE)
        memory[:] = b"\0" * len(memory)
        digest = copy.digest()
    digest.tell(told.append)
    assert digest.wait() == hashlib.sha256(CONTENT).hexdigest() == digest.known
    assert told == [digest.known]


def test_a_digest_that_nobody_wants_any_more_tells_nobody(file: Path) -> None:
    told: list[str] = []
    with PrivateCopy(str(file)) as copy:
        digest = copy.digest()
    digest.forget()
    digest.tell(told.append)
    assert not told


@pytest.fixture
def go_on(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Digests are made on the side, and none is finished before this is set."""
    go_on, read = threading.Event(), os.preadv
    monkeypatch.setattr(snapshot, "AT_ONCE", 0)
    monkeypatch.setattr(os, "preadv", lambda *given: read(*given) if go_on.wait() else 0)
    return go_on


def test_a_digest_forgotten_while_it_is_made_is_never_known(file: Path, go_on: threading.Event) -> None:
    with PrivateCopy(str(file)) as copy:
        digest = copy.digest()
    digest.forget()
    go_on.set()
    with pytest.raises(RuntimeError, match="no digest"):
        digest.wait()


def test_the_data_of_safetensors_begins_at_a_page(tmp_path: Path) -> None:
    header = b"{}" + b" " * 14
    (tmp_path / "x").write_bytes(len(header).to_bytes(8, "little") + header)
    with PrivateCopy(str(tmp_path / "x")) as copy:
        assert (copy.shift + 8 + len(header)) % 4096 == 0


def test_a_file_that_ends_early_is_refused(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sendfile", lambda *_: 0)
    monkeypatch.setattr(os, "pread", lambda *_: b"")
    with pytest.raises(ValueError, match="ends after 0 of 100000 bytes"):
        PrivateCopy(str(file))


def test_the_model_is_there_before_its_digest_which_is_told_after_the_answer(
    tmp_path: Path, go_on: threading.Event
) -> None:
    path = tmp_path / "w.safetensors"
    tensorfile.save(str(path), bench_models.Net().state_dict())
    expected = hashlib.sha256(path.read_bytes()).hexdigest()
    heard: queue.Queue[tuple[Any, int | None]] = queue.Queue()
    job, bench = Job(7, lambda body, number: heard.put((body, number))), Bench()
    recipe = Recipe(f"{bench_models.__file__}:Net", weights=str(path), inputs=("x=float32[2,10]",))
    first = bench.load(Load(recipe), Job(6, lambda *_: None))
    loaded = bench.load(Load(recipe), job)
    assert first.info.weights_sha256 == loaded.info.weights_sha256 == ""
    with heard.mutex:
        heard.queue.clear()  # progress
    path.write_bytes(b"another file")
    go_on.set()
    job.ended()
    assert heard.get(timeout=10) == (WeightsHashed(str(path), expected), None)
