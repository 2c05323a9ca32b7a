"""Takes an artifact that somebody else made: a private copy of exactly the bytes that were trusted.

Nothing of it is loaded here.
"""

from __future__ import annotations

import hashlib
import os
import stat
from pathlib import Path
from typing import BinaryIO

from workbench.protocol.failures import WorkbenchError, error, unreadable
from workbench.protocol.files import write_text
from workbench.protocol.kinds import kind_of
from workbench.protocol.outside import Runner
from workbench.worker.artifact.subject import Artifact

KINDS = {
    "torchscript": "trace",
    "pt2": "export",
    "aoti": "aoti",
    "onnx": "onnx",
    "safetensors": "weights",
    "state_dict": "weights",
}
"""What `inspect` calls it → the kind of artifact that it is proven as."""

RUNNER = "runner.txt"

_SUFFIXES = {
    ".pt2": "export",
    ".ts": "trace",
    ".torchscript": "trace",
    ".pt": "trace",
    ".pth": "weights",
    ".safetensors": "weights",
    ".onnx": "onnx",
}
"""For files whose content says nothing, such as truncated ones: the proof then says that they do not load."""

_TAKEN = frozenset(
    {"golden.safetensors", "checkpoint.safetensors", "manifest.json", "verify.py", "report.md", "architecture.py"}
)
"""Names that a bundle, or the proof, needs for itself."""

_CHUNK = 1 << 20


def take(path: Path, sha256: str, stage: Path, approved: str = "") -> Artifact:
    """Copy `path` into `stage` while hashing it. Raises `WorkbenchError` ("artifact", "trust", "write").

    approved: the kind that a yes was given for, or none was needed for; the copy must be of it. Empty: not asked.
    """
    name = _plain_name(path)
    digest = _copy(path, stage / name)
    again = "Look at it again (workbench inspect), and decide again."
    if sha256 and digest != sha256:
        message = f"{path} is no longer the file that was trusted: its sha256 is {digest[:16]}…, not {sha256[:16]}…."
        raise error("trust", message, str(path), again)
    with open(stage / name, "rb") as stream:
        found = kind_of(stream, os.fstat(stream.fileno()).st_size)
    if approved and found != approved:
        message = f"{path} changed while it was looked at: it is {found}, not {approved}. Nothing of it was loaded."
        raise error("trust", message, str(path), again)
    kind = KINDS.get(found) or (_SUFFIXES.get(path.suffix.lower()) if found == "unknown" else None)
    if kind is None:
        words = {"pickle": "a pickle"}.get(found, found)
        message = (
            f"{path.name} is {words}; what can be proven is TorchScript, .pt2, AOTInductor, ONNX and a state_dict."
        )
        raise error("artifact", message, str(path), f"workbench inspect {path}")
    return Artifact(name, extra={"kind": kind})


def take_runner(runner: Runner, stage: Path) -> Artifact:
    """The command itself as a file, so that the manifest says what was proven."""
    write_text(stage / RUNNER, f"{runner.command}\n")
    return Artifact(RUNNER, extra={"kind": "runner"})


def _plain_name(path: Path) -> str:
    """The file's own name, unless a bundle needs that name for itself."""
    return f"artifact{path.suffix}" if path.name in _TAKEN else path.name


def _copy(path: Path, target: Path) -> str:
    digest = hashlib.sha256()
    with _opened(path) as source:
        try:
            with open(target, "xb") as sink:
                while chunk := source.read(_CHUNK):
                    digest.update(chunk)
                    sink.write(chunk)
        except OSError as problem:
            raise _full(target, problem) from problem
    return digest.hexdigest()


def _opened(path: Path) -> BinaryIO:
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            raise error("artifact", f"{path} is no regular file.", str(path), "Name the artifact's file.")
        return open(path, "rb")
    except OSError as problem:
        raise unreadable("artifact", str(path), problem) from problem


def _full(target: Path, problem: OSError) -> WorkbenchError:
    message = f"Could not copy the artifact: {problem.strerror or problem}."
    return error("write", message, str(target.parent), "Free some space there.")
