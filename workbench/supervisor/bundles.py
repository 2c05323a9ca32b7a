"""Files of a bundle on the disk: hashed, copied while they are hashed, written into a manifest.

Every function runs in a thread and stops when `stop` is set. Never loads what it copies.
"""

from __future__ import annotations

import contextlib
import json
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from workbench.protocol import files
from workbench.protocol.codec import plain
from workbench.protocol.failures import WorkbenchError, error

from .ephemeral import stopped
from .fingerprint import CHUNK, MANIFEST, digest_of, open_regular, parse_manifest, read_manifest_bytes

_FILES = 10_000
"""Files of a bundle; one that claims more is none of ours."""


def hash_files(stage: Path, stop: threading.Event) -> dict[str, dict[str, Any]]:
    """Name → {"sha256", "bytes"} for every file in `stage` but the manifest, sorted by name.

    Raises `WorkbenchError("artifact")` for a link: it would be refused in a bundle.
    """
    found = {}
    for path in listed(stage):
        if (stage / path).is_symlink():
            raise error("artifact", f"{path} is a symbolic link, which a bundle may not hold.", str(stage / path))
        if path != MANIFEST:
            with open_regular(stage / path) as stream:
                found[path] = {"sha256": digest_of(stream, stop), "bytes": os.fstat(stream.fileno()).st_size}
    return found


def listed(directory: Path) -> list[str]:
    """Relative names of all files and links below `directory`, sorted.

    Raises `WorkbenchError("artifact")` for too many.
    """
    names: list[str] = []
    for folder, folders, children in os.walk(directory):
        links = [name for name in folders if (Path(folder) / name).is_symlink()]
        names += [str((Path(folder) / child).relative_to(directory)) for child in (*children, *links)]
        if len(names) > _FILES:
            raise error("artifact", f"{directory} holds more than {_FILES:,} files: it is no bundle.", str(directory))
    return sorted(names)


def is_refused(directory: Path) -> bool:
    """Whether `directory` holds a bundle whose proof said no, and nothing else: its manifest names every file."""
    try:
        if directory.is_symlink():
            return False
        manifest = parse_manifest(directory, read_manifest_bytes(directory))
        known, proof = manifest.get("files"), manifest.get("proof")
        whole = isinstance(known, dict) and set(listed(directory)) == {*known, MANIFEST}
        return whole and isinstance(proof, dict) and proof.get("verdict") in ("fail", "error")
    except WorkbenchError:
        return False


def copy_files(bundle: Path, private: Path, stop: threading.Event) -> None:
    """Copy every file of `bundle` but its manifest into `private`, which is the only place anything is loaded from.

    A link is copied as a link and never followed: the proof refuses it, as the bundle's own verify.py does.
    Raises `WorkbenchError("artifact")` for what cannot be read, `WorkbenchError("write")` for a full disk.
    """
    for name in listed(bundle):
        source, target = bundle / name, private / name
        if name == MANIFEST:
            continue
        if source.is_symlink():
            with _writing(name, target):
                target.parent.mkdir(parents=True, exist_ok=True)
                target.symlink_to(os.readlink(source))
            continue
        with open_regular(source) as stream, _writing(name, target):
            target.parent.mkdir(parents=True, exist_ok=True)
            with open(target, "xb") as sink:
                _copy(stream, sink, stop)


@contextlib.contextmanager
def _writing(name: str, target: Path) -> Iterator[None]:
    try:
        yield
    except OSError as problem:
        reason = problem.strerror or str(problem)
        words = f"Could not make a private copy of {name}: {reason}."
        raise error("write", words, str(target), "Free some space in the directory for temporary files.") from problem


def _copy(stream: IO[bytes], sink: IO[bytes], stop: threading.Event) -> None:
    while chunk := stream.read(CHUNK):
        if stop.is_set():
            raise stopped()
        sink.write(chunk)


def manifest_bytes(manifest: dict[str, Any]) -> bytes:
    """A manifest as it is written: indented, NaN and infinities as strings."""
    return json.dumps(plain(manifest), indent=1, ensure_ascii=True, allow_nan=False).encode("ascii") + b"\n"


def write_manifest(stage: Path, manifest: dict[str, Any]) -> bytes:
    """Write it and return its bytes. Raises `WorkbenchError("write")`."""
    data = manifest_bytes(manifest)
    files.write_bytes(stage / MANIFEST, data)
    return data
