"""What a path holds, as far as trust is concerned: kind, digest, and what loading it would run.

One open descriptor serves both looking and hashing, and what is written to meanwhile is refused. Never follows a
name twice.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import stat
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from workbench.protocol.artifacts import MANIFEST_SCHEMA, Fingerprint
from workbench.protocol.failures import error, unreadable
from workbench.protocol.kinds import form_of, kind_of

from .ephemeral import stopped

CHUNK = 1 << 20
MANIFEST = "manifest.json"
MANIFEST_LIMIT = 64 << 20
"""Bytes of a manifest; a thousand cases with their contracts stay below one."""

PYTHON, NATIVE, DATA = "CODE (Python)", "CODE (native)", "DATA"

_TRUST = {"safetensors": DATA, "index": DATA, "state_dict": DATA, "onnx": DATA, "aoti": NATIVE}


def fingerprint(path: str, stop: threading.Event) -> Fingerprint:
    """Kind, digest and trust of a file or bundle.

    Raises `WorkbenchError("artifact")` for what is not there or cannot be read, `WorkbenchError("cancelled")`.
    """
    place = Path(path)
    if place.is_dir():
        data = read_manifest_bytes(place)
        return Fingerprint(path, "bundle", hashlib.sha256(data).hexdigest(), bundle_trust(parse_manifest(place, data)))
    with open_regular(place) as stream:
        before = _state(stream)
        kind = kind_of(stream, before[0])
        trust = _TRUST.get(kind, PYTHON)
        if kind == "unknown" and form_of(stream, before[0]) == "native":
            trust = NATIVE
        stream.seek(0)
        digest = digest_of(stream, stop)
        if _state(stream) != before:
            # whoever loads it compares kind and digest of a private copy; this only says so earlier
            words = f"{path} was written to while it was looked at."
            raise error("artifact", words, path, "Wait until it is whole, then try again.")
        return Fingerprint(path, kind, digest, trust)


def _state(stream: IO[bytes]) -> tuple[int, int, int]:
    """Size, and when content and inode were last changed, in ns; the last cannot be set by hand."""
    found = os.fstat(stream.fileno())
    return found.st_size, found.st_mtime_ns, found.st_ctime_ns


def digest_of(stream: IO[bytes], stop: threading.Event) -> str:
    """sha256 of the rest of `stream`, in lower-case hexadecimal."""
    digest = hashlib.sha256()
    while chunk := stream.read(CHUNK):
        if stop.is_set():
            raise stopped()
        digest.update(chunk)
    return digest.hexdigest()


@contextlib.contextmanager
def open_regular(path: Path) -> Iterator[IO[bytes]]:
    """The file at `path`, read-only; a FIFO or device is refused instead of waited for.

    Raises `WorkbenchError("artifact")`.
    """
    try:
        with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as stream:
            if not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
                raise error("artifact", f"{path} is no regular file.", str(path))
            yield stream
    except OSError as problem:
        raise unreadable("artifact", str(path), problem) from problem


def read_manifest_bytes(bundle: Path) -> bytes:
    """The bytes of a bundle's manifest. Raises `WorkbenchError("artifact")` when there is none."""
    if not bundle.is_dir():
        reason = "is no directory" if os.path.lexists(bundle) else "is not there"
        raise error("artifact", f"{bundle} {reason}.", str(bundle), "Check the path.")
    if not (bundle / MANIFEST).exists():
        words = f"{bundle} is a directory without a {MANIFEST}, so it is no bundle."
        raise error("artifact", words, str(bundle), "Name a bundle that `workbench export` wrote, or a single file.")
    if (bundle / MANIFEST).is_symlink():
        words = f"{bundle / MANIFEST} is a symbolic link, which a bundle may not hold."
        raise error("artifact", words, str(bundle / MANIFEST), "Get the bundle again from where it was made.")
    with open_regular(bundle / MANIFEST) as stream:
        data = stream.read(MANIFEST_LIMIT + 1)
    if len(data) > MANIFEST_LIMIT:
        raise error("artifact", f"{bundle / MANIFEST} is far too long for a manifest.", str(bundle / MANIFEST))
    return data


def parse_manifest(bundle: Path, data: bytes) -> dict[str, Any]:
    """The manifest as an object. Raises `WorkbenchError("artifact")`."""
    try:
        manifest = json.loads(data)
    except (ValueError, RecursionError) as problem:
        raise error("artifact", f"The manifest of {bundle} is no JSON: {problem}.", str(bundle / MANIFEST)) from problem
    if (
        not isinstance(manifest, dict)
        or manifest.get("schema") != MANIFEST_SCHEMA
        or not isinstance(manifest.get("kind"), str)
    ):
        words = f"The manifest of {bundle} is none that this workbench can read (schema {MANIFEST_SCHEMA} is wanted)."
        raise error("artifact", words, str(bundle / MANIFEST))
    return manifest


def bundle_trust(manifest: dict[str, Any]) -> str:
    """What proving a bundle runs: weights alone are data, an architecture that comes with them is not."""
    kind = manifest["kind"]
    if kind == "weights":
        built = manifest.get("architecture")
        runs = isinstance(built, dict) and (built.get("file") or built.get("package"))
        return PYTHON if runs else DATA
    return NATIVE if kind == "aoti" else PYTHON
