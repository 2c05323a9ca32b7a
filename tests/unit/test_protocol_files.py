"""The writer: whatever happens, a name that people rely on holds the old content or the new, never half of one."""

from __future__ import annotations

import ctypes
import errno
import os
import resource
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import IO

import pytest

from workbench.protocol import files
from workbench.protocol.failures import WorkbenchError
from workbench.protocol.files import publish, staging, write_bytes, write_text, write_with


@contextmanager
def largest_file(limit: int) -> Iterator[None]:
    """No file may grow beyond `limit` bytes meanwhile: what a full disk does, at a chosen byte."""
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, old[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)


def listing(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def test_bytes_and_text_arrive_and_replace(tmp_path: Path) -> None:
    write_bytes(tmp_path / "a", b"\x00\xff")
    write_text(tmp_path / "b", "old")
    write_text(tmp_path / "b", "Δ \ud800")
    assert (tmp_path / "a").read_bytes() == b"\x00\xff"
    assert (tmp_path / "b").read_bytes() == "Δ \\ud800".encode()
    assert listing(tmp_path) == ["a", "b"]


def test_a_file_gets_the_mode_that_any_new_file_gets(tmp_path: Path) -> None:
    old = os.umask(0o027)
    try:
        write_bytes(tmp_path / "a", b"")
        with staging(tmp_path / "d") as stage:
            publish(stage, tmp_path / "d")
    finally:
        os.umask(old)
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o640
    assert stat.S_IMODE((tmp_path / "d").stat().st_mode) == 0o750


@pytest.mark.parametrize("failure", [RuntimeError("mid"), KeyboardInterrupt()])
def test_a_fill_that_fails_leaves_the_old_content_and_nothing_else(tmp_path: Path, failure: BaseException) -> None:
    def fill(stream: IO[bytes]) -> None:
        stream.write(b"half")
        raise failure

    write_bytes(tmp_path / "a", b"old")
    with pytest.raises(type(failure)):
        write_with(tmp_path / "a", fill)
    assert (tmp_path / "a").read_bytes() == b"old"
    assert listing(tmp_path) == ["a"]


def test_a_full_disk_is_a_plain_failure_and_leaves_the_old_content(tmp_path: Path) -> None:
    write_bytes(tmp_path / "a", b"old")
    with largest_file(1000), pytest.raises(WorkbenchError) as refused:
        write_bytes(tmp_path / "a", b"x" * 100_000)
    assert refused.value.failure.kind == "write"
    assert str(tmp_path / "a") in refused.value.failure.message
    assert refused.value.failure.remedy
    assert (tmp_path / "a").read_bytes() == b"old"
    assert listing(tmp_path) == ["a"]


def test_a_place_that_cannot_be_written_is_a_plain_failure(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    for place in (tmp_path / "absent" / "a", tmp_path / "file" / "a", Path("/proc/a")):
        with pytest.raises(WorkbenchError) as refused:
            write_bytes(place, b"")
        assert refused.value.failure.kind == "write"
    with pytest.raises(WorkbenchError), staging(tmp_path / "file" / "bundle"):
        pytest.fail("there is no place to stage in")


KILLED = """
import sys
from pathlib import Path
from workbench.protocol.files import publish, staging, write_with

def pause():
    print("half", flush=True)
    sys.stdin.readline()

def fill(stream):
    stream.write(b"new" * 100_000)
    stream.flush()
    pause()

target = Path(sys.argv[2])
if sys.argv[1] == "file":
    write_with(target, fill)
else:
    with staging(target) as stage:
        (stage / "first").write_bytes(b"1")
        pause()
        (stage / "second").write_bytes(b"2")
        publish(stage, target)
print("whole", flush=True)
"""


@pytest.mark.parametrize("kind", ["file", "directory"])
def test_kill_9_in_the_middle_leaves_no_half(tmp_path: Path, kind: str) -> None:
    target = tmp_path / "target"
    if kind == "file":
        target.write_bytes(b"old")
    child = subprocess.Popen(
        [sys.executable, "-c", KILLED, kind, str(target)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2],
    )  # fmt: skip
    with child:
        assert child.stdout is not None
        assert child.stdout.readline() == "half\n"
        assert len(listing(tmp_path)) > (1 if kind == "file" else 0)  # it is being written, under another name
        child.send_signal(signal.SIGKILL)
    if kind == "file":
        assert target.read_bytes() == b"old"
    else:
        assert not target.exists()


def test_a_stage_is_published_whole_or_removed(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "bundle"
    with staging(target) as stage:
        assert stage.parent == target.parent
        (stage / "sub").mkdir()
        (stage / "sub" / "data").write_bytes(b"x")
        assert not target.exists()
        publish(stage, target)
    assert listing(tmp_path) == ["deep", "deep/bundle", "deep/bundle/sub", "deep/bundle/sub/data"]

    with staging(tmp_path / "never") as stage:
        (stage / "data").write_bytes(b"x")
    with pytest.raises(RuntimeError), staging(tmp_path / "other"):
        raise RuntimeError
    assert sorted(os.listdir(tmp_path)) == ["deep"]


@pytest.mark.parametrize("kind", ["file", "directory", "empty directory", "dangling link"])
def test_a_target_that_is_there_is_never_touched(tmp_path: Path, kind: str) -> None:
    target = tmp_path / "bundle"
    if kind == "file":
        target.write_bytes(b"mine")
    elif kind == "dangling link":
        target.symlink_to(tmp_path / "nowhere")
    else:
        target.mkdir()
        if kind == "directory":
            (target / "mine").write_bytes(b"")
    before = listing(tmp_path)
    with staging(target) as stage:
        (stage / "data").write_bytes(b"x")
        with pytest.raises(WorkbenchError) as refused:
            publish(stage, target)
    assert refused.value.failure.kind == "exists"
    assert listing(tmp_path) == before


def test_a_failed_result_may_replace_an_older_one(tmp_path: Path) -> None:
    target = tmp_path / "bundle.failed"
    for number in ("1", "2"):
        with staging(target) as stage:
            (stage / number).write_bytes(b"")
            publish(stage, target, replace=True)
    assert listing(tmp_path) == ["bundle.failed", "bundle.failed/2"]


@pytest.mark.parametrize("problem", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_what_is_replaced_comes_back_when_the_new_one_cannot(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, problem: BaseException
) -> None:
    target = tmp_path / "bundle.failed"
    target.mkdir()
    (target / "old").write_bytes(b"")
    rename = files._rename_new

    def failing(source: Path, place: Path) -> None:
        if str(source).endswith(".staging"):
            raise problem
        rename(source, place)

    monkeypatch.setattr(files, "_rename_new", failing)
    with pytest.raises((WorkbenchError, KeyboardInterrupt)), staging(target) as stage:
        publish(stage, target, replace=True)
    assert listing(tmp_path) == ["bundle.failed", "bundle.failed/old"]


@pytest.mark.parametrize("kernel", [True, False])
def test_a_directory_that_appears_at_the_last_moment_is_not_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kernel: bool
) -> None:
    target = tmp_path / "bundle"
    target.mkdir()
    if kernel:
        if not hasattr(ctypes.CDLL(None), "renameat2"):
            pytest.skip("this system cannot refuse by itself")
        monkeypatch.setattr(os.path, "lexists", lambda path: False)  # it was not there when somebody looked
    else:
        monkeypatch.setattr(ctypes, "CDLL", lambda name, use_errno: object())
    with pytest.raises(WorkbenchError) as refused, staging(target) as stage:
        publish(stage, target)
    assert refused.value.failure.kind == "exists"
    assert listing(tmp_path) == ["bundle"]


def test_a_name_taken_while_the_old_result_is_aside_leaves_both_and_says_where(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "bundle.failed"
    target.mkdir()
    (target / "old").write_bytes(b"")
    rename = os.rename

    def taken(source: Path, place: Path) -> None:
        rename(source, place)
        target.mkdir()
        (target / "theirs").write_bytes(b"")

    monkeypatch.setattr(os, "rename", taken)
    with pytest.raises(WorkbenchError) as refused, staging(target) as stage:
        publish(stage, target, replace=True)
    aside = next(tmp_path.glob(".bundle.failed.*.old"))
    assert refused.value.failure.kind == "exists"
    assert f"lies in {aside}." in refused.value.failure.message
    assert listing(tmp_path) == [aside.name, f"{aside.name}/old", "bundle.failed", "bundle.failed/theirs"]


@pytest.mark.parametrize("kernel", [True, False])
def test_a_rename_that_the_file_system_does_not_know_is_done_the_usual_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kernel: bool
) -> None:
    def unknown(*_: object) -> int:
        ctypes.set_errno(errno.EINVAL)
        return -1

    monkeypatch.setattr(ctypes, "CDLL", lambda name, use_errno: SimpleNamespace(renameat2=unknown) if kernel else 0)
    with staging(tmp_path / "bundle") as stage:
        (stage / "data").write_bytes(b"x")
        publish(stage, tmp_path / "bundle")
    assert listing(tmp_path) == ["bundle", "bundle/data"]


def test_directories_that_were_made_for_a_stage_go_with_it(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    with staging(tmp_path / "mine" / "a" / "b" / "bundle") as stage:
        (stage / "data").write_bytes(b"x")
    assert listing(tmp_path) == ["mine"]
    with staging(tmp_path / "c" / "d" / "bundle"):
        (tmp_path / "c" / "somebody").write_bytes(b"x")
    assert listing(tmp_path) == ["c", "c/somebody", "mine"]
    with pytest.raises(WorkbenchError), staging(tmp_path / "new" / ("x" * 300) / "bundle"):
        pytest.fail("no such name can be")
    assert listing(tmp_path) == ["c", "c/somebody", "mine"]
