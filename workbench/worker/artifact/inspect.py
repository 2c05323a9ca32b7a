"""Looks into a file without running any of its code, without importing torch, without reading a tensor's values.

Owns the entry, what counts as readable, the digest, and the bundle directory. Formats are read by `inspect_*`.
Whatever a file claims, the answer comes within bounds, or as a `WorkbenchError("artifact")` in plain words.
"""

from __future__ import annotations

import dataclasses
import gc
import hashlib
import json
import os
import stat
import traceback
from pathlib import Path

from workbench.protocol.artifacts import InspectedTensor, Inspection
from workbench.protocol.captures import is_capture
from workbench.protocol.failures import error
from workbench.protocol.kinds import form_of, kind_of
from workbench.protocol.messages import Inspect
from workbench.worker.artifact.inspect_archive import (
    Content,
    read_archive,
    read_legacy,
    read_pickle,
    read_torch_archive,
)
from workbench.worker.artifact.inspect_directory import read_captured, read_directory, read_index
from workbench.worker.artifact.inspect_onnx import read_onnx
from workbench.worker.artifact.inspect_pt2 import program_inputs
from workbench.worker.job import Job
from workbench.worker.mistaken import START, mistaken_for
from workbench.worker.tensorfile import header

LISTED = 20_000
"""Tensors that are listed; `tensor_count` has the number."""

MEMBERS_LISTED = 2_000
"""Files of an archive or directory that are listed."""

HASH_LIMIT = 4 << 30
"""Bytes up to which a digest is computed: a larger file opens in the time of its header."""

DATA, PYTHON, NATIVE = "DATA", "CODE (Python)", "CODE (native)"

_CHUNK = 1 << 20


def inspect(request: Inspect, job: Job) -> Inspection:
    """What `request.path` holds. Raises `WorkbenchError("artifact")` for what cannot be read, or lies."""
    path = Path(request.path)
    content, size = look(path, job)
    if not request.digest:
        digest = ""
    elif path.is_dir():
        manifest = path / "manifest.json"
        digest = _sha256(manifest, manifest.stat().st_size, job) if content.kind == "bundle" else ""
    elif size <= HASH_LIMIT:
        digest = _sha256(path, size, job)
    else:
        digest = ""
        content.words.append(f"no digest: the file is larger than {HASH_LIMIT >> 30} GB")
    return _inspection(path, content, size, digest)


def look(path: Path, job: Job) -> tuple[Content, int]:
    """(what it holds, its bytes). Raises `WorkbenchError("artifact")` for what cannot be read, or lies."""
    job.progress("looking into the file")
    try:
        mode = os.stat(path).st_mode
    except OSError as problem:
        reason = "There is no file" if isinstance(problem, FileNotFoundError) else f"{problem.strerror}:"
        raise error("artifact", f"{reason} {path}.", str(path), "Check the path.") from problem
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
        what = {stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket"}.get(stat.S_IFMT(mode), "a device")
        raise error("artifact", f"{path} is {what}, no regular file.", str(path), "Name a file.")
    collecting = gc.isenabled()
    gc.disable()  # a million inert records are no garbage, and looking for it takes longer than reading them
    try:
        return _directory(path) if stat.S_ISDIR(mode) else (_content(path), path.stat().st_size)
    except OSError as problem:
        reason = problem.strerror or str(problem)
        raise error("artifact", f"{path} cannot be read: {reason}.", str(path), "Look at its permissions.") from problem
    except ValueError as problem:
        message = f"{path.name} is broken: {problem}."
        raise error("artifact", message, str(path), "Get it again from where it was made.") from problem
    except (TypeError, AttributeError, LookupError, ArithmeticError, RecursionError, MemoryError) as problem:
        reason = f"it is put together as no program writes it ({type(problem).__name__} while it was read)"
        details = "".join(traceback.format_exception(problem))
        message = f"{path.name} is broken: {reason}."
        raise error("artifact", message, str(path), "Get it again from where it was made.", details) from problem
    finally:
        if collecting:
            gc.enable()


def _file(path: Path) -> Content:
    """One file that an index names; an index in its place is none of tensors. Raises as `_content` does."""
    with open(path, "rb") as stream:
        form = form_of(stream, path.stat().st_size)
    return Content("index", DATA) if form == "index" else _content(path)


def _content(path: Path) -> Content:
    """Raises OSError, or ValueError in plain words."""
    size = path.stat().st_size
    with open(path, "rb") as stream:
        form = form_of(stream, size)
        kind = kind_of(stream, size, form)
    if form in ("safetensors", "broken safetensors"):
        return _safetensors(path)
    if form in ("checkpoint", "torchscript", "aoti", "pt2"):
        return _as_judged(read_torch_archive(path, form), kind)
    if form == "archive":
        return read_archive(path)
    if form == "legacy":
        return _as_judged(read_legacy(path), kind)
    if form == "pickle":
        return read_pickle(path)
    if form == "python":
        words = "Python source: loading it runs it. Open it with workbench FILE.py:Name."
        return Content("python", PYTHON, words=[words])
    if form == "onnx":
        return read_onnx(path)
    if form == "index":
        return read_index(path, _file)
    if form == "native":
        return Content("unknown", NATIVE, words=["a native library or program; loading it runs it."])
    return Content("unknown", DATA, words=[_unknown(path)])


def _as_judged(content: Content, kind: str) -> Content:
    """What trust is asked for counts: a pickle whose names are hidden is none of tensors alone, whatever it seems."""
    if content.kind == "state_dict" and kind == "pickle":
        words = "its pickle is written in a way that hides which names it imports: it is taken for code."
        return dataclasses.replace(content, kind="pickle", trust=PYTHON, words=[*content.words[1:], words])
    return content


def _unknown(path: Path) -> str:
    """What to say of a file that is nothing known. Raises ValueError for one that is cut off."""
    with open(path, "rb") as stream:
        head = stream.read(START)
    if not head:
        raise ValueError("it is empty")
    if mistaken := mistaken_for(head):
        return f"it is {mistaken[0]}. {mistaken[1]}"
    if head.startswith(b"PK\x03\x04"):
        raise ValueError("it is a zip archive that is cut off: its directory, at the end, is missing")
    if path.suffix == ".safetensors":
        raise ValueError("its name says .safetensors, and its content does not: it is cut off, or something else")
    if path.name == "config.json" and head.lstrip().startswith(b"{"):
        return f"the configuration of the model in its directory: workbench inspect {path.parent}"
    return "nothing this knows: no torch file, no safetensors, no ONNX, no Python."


def _safetensors(path: Path) -> Content:
    slots, metadata = header(str(path))
    tensors = [InspectedTensor(name, slot.dtype, slot.shape, slot.bytes) for name, slot in slots.items()]
    words = ["safetensors: tensors and nothing else; it opens straight."]
    if unknown := [one for one in tensors if one.dtype.isupper()]:
        several = f" and {len(unknown) - 1} more" if len(unknown) > 1 else ""
        words = [
            "safetensors: tensors and nothing else.",
            f"{unknown[0].name}{several}: {unknown[0].dtype} is a dtype that this version does not know; it is listed, "
            "and does not open here.",
        ]
    return Content("safetensors", DATA, tensors, metadata=dict(metadata), words=words)


def _directory(path: Path) -> tuple[Content, int]:
    """A bundle, or a model's directory, and its bytes. Raises `WorkbenchError("artifact")` for any other one."""
    manifest = _manifest_of(path)
    if manifest is not None:
        return _bundle(path, manifest)
    if is_capture(str(path)):
        captured = read_captured(path, _file)
        return captured, sum((path / name).stat().st_size for name in captured.members)
    content = read_directory(path, _file)
    names = sorted(os.listdir(path))
    files = [name for name in names if (path / name).is_file()]
    if content is None:
        told = f"it holds {', '.join(files[:5])}{' …' if len(files) > 5 else ''}" if files else "it holds no files"
        message = f"{path} is a directory that is neither a bundle nor a model's: {told}."
        raise error("artifact", message, str(path), f"workbench inspect {path}/FILE looks into one of its files.")
    return content, sum((path / name).stat().st_size for name in files)


def _bundle(path: Path, manifest: dict[str, object]) -> tuple[Content, int]:
    members = sorted(str(one.relative_to(path)) for one in path.rglob("*") if one.is_file() and not one.is_symlink())
    size = sum((path / name).stat().st_size for name in members)
    artifact = manifest.get("artifact")
    name = str(artifact.get("file") or "") if isinstance(artifact, dict) else ""
    content = Content("bundle", NATIVE)
    if name in members:
        try:
            inner = _content(path / name)
        except (ValueError, OSError) as problem:
            inner = Content("unknown", NATIVE, words=[f"{name} is broken: {problem}"])
        content = dataclasses.replace(inner, kind="bundle")
    kind, cases = manifest.get("kind"), manifest.get("cases")
    count = len(cases) if isinstance(cases, list) else 0
    proof = manifest.get("proof")
    verdict = str(proof.get("verdict") or "") if isinstance(proof, dict) else ""
    said = f"; its own proof said {verdict}" if verdict else ""
    content.words.insert(0, f"a bundle of kind {kind}: {name}, {count} golden cases{said}. workbench verify {path}")
    content.metadata = {**content.metadata, **_facts(manifest)}
    content.members = members
    return content, size


def _manifest_of(directory: Path) -> dict[str, object] | None:
    """The manifest of a bundle; None for a directory that is none."""
    path = directory / "manifest.json"
    try:
        if not path.is_file() or path.stat().st_size > 1 << 28:
            return None
        found = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) and "kind" in found else None


def _facts(manifest: dict[str, object]) -> dict[str, str]:
    """The plain facts of a manifest."""
    facts = {key: str(manifest[key]) for key in ("platform", "instruction_set", "source_sha256") if manifest.get(key)}
    versions = manifest.get("versions")
    if isinstance(versions, dict):
        facts.update({str(name): str(version) for name, version in versions.items()})
    return facts


def _sha256(path: Path, size: int, job: Job) -> str:
    digest, done = hashlib.sha256(), 0
    with open(path, "rb") as stream:
        while chunk := stream.read(_CHUNK):
            digest.update(chunk)
            done += len(chunk)
            job.progress("hashing", done, size)
    return digest.hexdigest()


def _inspection(path: Path, content: Content, size: int, digest: str) -> Inspection:
    if content.kind == "pt2":
        inputs = "; ".join(one.words for one in program_inputs(path))
        content.words.extend([f"inputs: {inputs}"] if inputs else [])
    return Inspection(
        path=str(path),
        kind=content.kind,
        trust=content.trust,
        bytes=size,
        sha256=digest,
        tensors=tuple(content.tensors[:LISTED]),
        tensor_count=len(content.tensors),
        tensor_bytes=sum(one.bytes for one in content.tensors) if content.stored is None else content.stored,
        globals=tuple(content.globals),
        unsafe_globals=tuple(sorted(content.unsafe)),
        metadata=content.metadata,
        members=tuple(content.members[:MEMBERS_LISTED]),
        words=tuple(content.words),
    )
