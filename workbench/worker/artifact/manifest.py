"""What a manifest has to say, and how it is read: every field that a proof uses is checked before it is used.

Owns the form of a manifest and its agreement with the golden data. A manifest is a stranger's claim, trusted or not:
whatever is wrong with it ends as one `ValueError` in plain words, and no name in it leads out of the bundle. Loads and
runs nothing. Carried into a bundle's verify.py: the standard library and torch only.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

import torch

from workbench.protocol.artifacts import MANIFEST_SCHEMA
from workbench.worker.artifact.manifest_forms import MANIFEST_FIELDS, MANIFEST_NEEDED, manifest_file_entry

MANIFEST_GOLDEN = "golden.safetensors"


def read_manifest(stage: Path, staged: bool = False) -> dict[str, Any]:
    """The manifest of a published bundle, or of what is `staged` for one.

    Published, "files" lists every other file; staged, "made" does. Raises ValueError in plain words for anything else.
    """
    try:
        manifest = json.loads((stage / "manifest.json").read_text(encoding="utf-8"))
    except OSError as problem:
        raise ValueError(f"manifest.json cannot be read: {problem.strerror or problem}") from problem
    except (ValueError, RecursionError) as problem:
        raise ValueError(f"manifest.json is no JSON: {problem}") from problem
    if not isinstance(manifest, dict) or manifest.get("schema") != MANIFEST_SCHEMA:
        raise ValueError(f"manifest.json is no manifest of schema {MANIFEST_SCHEMA}")
    wrong = list(_manifest_faults(manifest, listed_as(staged)))
    if wrong:
        more = f"; and {len(wrong) - 4} more" if len(wrong) > 4 else ""
        raise ValueError(f"manifest.json is malformed: {'; '.join(wrong[:4])}{more}")
    return manifest


def listed_as(staged: bool) -> str:
    """The field of a manifest that lists the files: the flow knows whether they are staged, the manifest does not."""
    return "made" if staged else "files"


def architecture_target(manifest: dict[str, Any]) -> str:
    """How a checked manifest of weights says its module is built: "file.py:Name" or "package.module:Name"; "" for not.

    The file is one of the bundle's own.
    """
    built = manifest.get("architecture") or {}
    if manifest["kind"] != "weights":
        return ""
    if built.get("file"):
        return f"{built['file']}:{built['name']}" if built.get("name") else ""
    return str(built.get("target") or "") if built.get("package") else ""


def require_golden(tensors: dict[str, torch.Tensor], manifest: dict[str, Any]) -> None:
    """Raises ValueError unless the golden data holds every tensor that a checked manifest names, in fitting shapes."""
    wanted = {name for entry in manifest["inputs"] for name in manifest_tensors(entry["tree"])}
    for index, case in enumerate(manifest["cases"]):
        cut = f"case.{index:02d}"
        paths = (case.get("output") or manifest["output"])["paths"]
        names = [f"{cut}.input.{name}" for name in sorted(wanted)] + [f"{cut}.output.{path}" for path in paths]
        absent = [name for name in names if name not in tensors]
        if absent:
            raise ValueError(f"the golden data lacks {absent[0]}, which the manifest names")
        for path in paths:
            leaf, exact = tensors[f"{cut}.output.{path}"], tensors.get(f"{cut}.float64.{path}")
            if exact is not None and (exact.shape != leaf.shape or exact.dtype != torch.float64):
                raise ValueError(f"the golden data's {cut}.float64.{path} is no float64 twin of the output")
    for name, axis in ((manifest.get("batch") or {}).get("axes") or {}).items():
        sample = tensors.get(f"case.00.input.{name}")
        if sample is None or not axis < sample.dim() or not sample.shape[axis]:
            raise ValueError(f"the manifest counts rows of {name} along axis {axis}, which the golden data has not")


def _manifest_faults(manifest: dict[str, Any], listing: str) -> Iterator[str]:
    """What is wrong, one sentence each; every later look at the manifest relies on what is asked here."""
    wrong = False
    for names, (test, words) in MANIFEST_FIELDS.items():
        for name in names.split():
            needed = name in MANIFEST_NEEDED
            if (name in manifest or needed) and not test(manifest.get(name)):
                wrong = True
                yield f"{name} is not {words}" if name in manifest else f"it lacks {name}"
    files = manifest.get(listing)
    if not isinstance(files, dict):
        yield f"it lacks {listing}, the list of its files"
    elif not wrong:
        yield from _manifest_file_faults(manifest, files)


def _manifest_file_faults(manifest: dict[str, Any], files: dict[str, Any]) -> Iterator[str]:
    """Every file that is named is a plain relative name and has its digest."""
    for name, entry in files.items():
        if not _manifest_plain_name(name):
            yield f"{name}: listed outside the bundle"
        elif not manifest_file_entry(entry):
            yield f"{name} has no sha256 and size"
    built = manifest.get("architecture") or {}
    used = [("artifact", manifest["artifact"]["file"]), ("golden data", MANIFEST_GOLDEN)]
    used += [("architecture", built["file"])] if built.get("file") is not None else []
    used += [("architecture", name) for name in built.get("helpers") or ()]
    for what, name in used:
        if not _manifest_plain_name(name) or name not in files:
            yield f"the {what} is {name!r}, which is no file of the bundle with a digest"
    if built.get("package"):
        place, _, name = str(built.get("target") or "").rpartition(":")
        parts = [*place.split("."), *name.split(".")]
        if place.split(".")[0] != built["package"] or not all(part.isidentifier() for part in parts):
            yield f"the architecture is {built.get('target')!r}, which is nothing of the package {built['package']!r}"


def _manifest_plain_name(name: Any) -> bool:
    """A relative path in its plainest form that stays below the directory it is in."""
    if not isinstance(name, str) or not name or "\0" in name or os.path.isabs(name):
        return False
    return str(PurePosixPath(name)) == name and name != "." and ".." not in PurePosixPath(name).parts


def manifest_tensors(tree: dict[str, Any]) -> Iterator[str]:
    """Names of the tensors in an argument's checked tree."""
    waiting = [tree]
    while waiting:
        ((word, part),) = waiting.pop().items()
        if word == "pairs":
            word, part = "dict", dict(part)
        if word == "tensor":
            yield part
        elif word != "value":
            waiting += part.values() if word == "dict" else part
