"""Private copies of bundles, and which directory a refused one may take the place of."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest

from workbench.protocol.failures import WorkbenchError
from workbench.supervisor.bundles import copy_files, hash_files, is_refused
from workbench.worker.artifact.clean import file_differences


def test_links_are_copied_as_links_and_refused_by_the_proof(tmp_path: Path):
    bundle, private = tmp_path / "bundle", tmp_path / "private"
    (bundle / "sub").mkdir(parents=True)
    private.mkdir()
    (bundle / "sub" / "net.py").write_text("x = 1\n")
    files = hash_files(bundle, threading.Event())
    (bundle / "sub" / "link").symlink_to("/etc/passwd")
    (bundle / "folder").symlink_to("/etc")
    copy_files(bundle, private, threading.Event())
    assert (private / "folder").is_symlink()
    wrong = file_differences(private, files)
    assert wrong == file_differences(bundle, files)  # what the bundle's own verify.py says
    assert [one.partition(":")[0] for one in wrong] == ["folder", "sub/link"]
    assert all("a symbolic link" in one for one in wrong)
    with pytest.raises(WorkbenchError, match="a symbolic link"):
        hash_files(bundle, threading.Event())


def refused(path: Path, verdict: str = "fail") -> Path:
    path.mkdir()
    (path / "model.ts").write_bytes(b"x")
    manifest = {"schema": 1, "kind": "trace", "files": {"model.ts": {}}, "proof": {"verdict": verdict}}
    (path / "manifest.json").write_text(json.dumps(manifest))
    return path


def test_only_a_refused_bundle_and_nothing_beside_it_may_be_replaced(tmp_path: Path):
    assert is_refused(refused(tmp_path / "ours"))
    assert not is_refused(refused(tmp_path / "proven", "pass"))
    (refused(tmp_path / "noted") / "notes.txt").write_text("mine")
    assert not is_refused(tmp_path / "noted")
    (tmp_path / "link").symlink_to(tmp_path / "ours")
    (tmp_path / "file").write_text("mine")
    (tmp_path / "empty").mkdir()
    for name in ("link", "file", "empty", "absent"):
        assert not is_refused(tmp_path / name), name
