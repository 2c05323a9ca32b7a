"""What a manifest has to say, and how it is read: every field that a proof uses is checked before it is used.

Owns the form of a manifest and its agreement with the golden data. A manifest is a stranger's claim, trusted or not:
whatever is wrong with it ends as one `ValueError` in plain words, and no name in it leads out of the bundle. Loads and
runs nothing. Carried into a bundle's verify.py: the standard library and torch only.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any

import torch

from workbench.protocol.artifacts import MANIFEST_SCHEMA

MANIFEST_KINDS = ("weights", "trace", "export", "aoti", "onnx", "runner")
"""Kinds of artifact that a proof can judge. A "runner" is a command, which no manifest can name: whoever asks does."""

MANIFEST_GOLDEN = "golden.safetensors"

_MANIFEST_DEPTH = 100
"""Nesting of an argument; what a model takes is flatter."""

_ManifestTest = Callable[[Any], bool]


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
    for names, (test, words) in _MANIFEST_FIELDS.items():
        for name in names.split():
            needed = name in _MANIFEST_NEEDED
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
        elif not isinstance(entry, dict) or not _manifest_text(entry.get("sha256")) or not _manifest_size(entry):
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


def _manifest_tree(tree: Any, depth: int = 0) -> bool:
    """The form that `prove_cases.grow` builds an argument from."""
    if not isinstance(tree, dict) or len(tree) != 1 or depth > _MANIFEST_DEPTH:
        return False
    ((word, part),) = tree.items()
    if word == "dict":
        return isinstance(part, dict) and all(_manifest_tree(one, depth + 1) for one in part.values())
    if word == "pairs":
        pairs = isinstance(part, list) and all(isinstance(one, list) and len(one) == 2 for one in part)
        return pairs and all(isinstance(key, (str, int, float)) and _manifest_tree(one, depth + 1) for key, one in part)
    if word in ("list", "tuple"):
        return isinstance(part, list) and all(_manifest_tree(one, depth + 1) for one in part)
    return word == "value" or (word == "tensor" and isinstance(part, str))


def _manifest_text(value: Any) -> bool:
    return isinstance(value, str)


def _manifest_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(one, str) for one in value)


def _manifest_whole(value: Any) -> bool:
    return type(value) is int and 0 <= value < 1 << 63


def _manifest_number(value: Any) -> bool:
    """A number as it is written: what is not finite is a word."""
    if type(value) is int:
        return abs(value) < 1 << 63
    return type(value) is float or value in ("NaN", "Infinity", "-Infinity")


def _manifest_size(entry: dict[str, Any]) -> bool:
    return _manifest_whole(entry.get("bytes"))


def _manifest_has(record: Any, **tests: _ManifestTest) -> bool:
    """An object whose fields, as far as it has them, pass their tests; None stands for a field that is not there."""
    if not isinstance(record, dict):
        return False
    return all(record.get(name) is None or test(record[name]) for name, test in tests.items())


def _manifest_artifact(value: Any) -> bool:
    return isinstance(value, dict) and isinstance(value.get("file"), str)


def _manifest_output(value: Any) -> bool:
    if not isinstance(value, dict) or not isinstance(value.get("structure"), str):
        return False
    paths: Any = value.get("paths")
    return _manifest_texts(paths) and len(set(paths)) == len(paths)


def _manifest_yardstick(value: Any) -> bool:
    if not _manifest_has(value, tolerance=_manifest_number, reason=_manifest_text):
        return False
    leaves = value.get("leaves") or {}
    known = value.get("kind") in ("float64", "tolerance", "given")
    return known and isinstance(leaves, dict) and all(map(_manifest_noise, leaves.values()))


def _manifest_noise(noise: Any) -> bool:
    fields = {"rms", "largest", "eps", "cases", "scale", "worst"}
    if not isinstance(noise, dict) or not {"rms", "largest", "eps", "cases"} <= set(noise) <= fields:
        return False
    return _manifest_whole(noise["cases"]) and all(map(_manifest_number, noise.values()))


def _manifest_parameters(value: Any) -> bool:
    return isinstance(value, dict) and all(
        isinstance(entry, dict)
        and isinstance(entry.get("sha256"), str)
        and isinstance(entry.get("dtype"), str)
        and isinstance(entry.get("shape"), list)
        and all(map(_manifest_whole, entry["shape"]))
        and all(map(_manifest_number, (entry.get("mean"), entry.get("rms"))))
        for entry in value.values()
    )


def _manifest_inputs(value: Any) -> bool:
    return isinstance(value, list) and all(
        isinstance(entry, dict) and isinstance(entry.get("name"), str) and _manifest_tree(entry.get("tree"))
        for entry in value
    )


def _manifest_cases(value: Any) -> bool:
    return isinstance(value, list) and len(value) > 0 and all(map(_manifest_case, value))


def _manifest_case(value: Any) -> bool:
    tests: dict[str, _ManifestTest] = {"batch": _manifest_whole, "output": _manifest_output, "sizes": _manifest_axes}
    return isinstance(value, dict) and _manifest_has(value, **tests, words=_manifest_text)


def _manifest_axes(found: Any) -> bool:
    return isinstance(found, dict) and all(map(_manifest_whole, found.values()))


def _manifest_batch(value: Any) -> bool:
    return value is None or _manifest_has(value, maximum=_manifest_whole, reason=_manifest_text, axes=_manifest_axes)


def _manifest_contract(value: Any) -> bool:
    def dims(found: Any) -> bool:
        return isinstance(found, list) and all(
            isinstance(dim, dict)
            and _manifest_has(dim, maximum=_manifest_whole)
            and isinstance(dim.get("name"), str)
            and _manifest_whole(dim.get("minimum"))
            and _manifest_axes(dim.get("axes"))
            for dim in found
        )

    def ranges(found: Any) -> bool:
        pairs = found.values() if isinstance(found, dict) else (None,)
        return all(isinstance(one, list) and len(one) == 2 and all(map(_manifest_number, one)) for one in pairs)

    return value is None or _manifest_has(value, dims=dims, ranges=ranges, declared=_manifest_texts)


def _manifest_modes(value: Any) -> bool:
    def dtype(found: Any) -> bool:
        return found == "" or (isinstance(found, str) and isinstance(getattr(torch, found, None), torch.dtype))

    return value is None or _manifest_has(value, flips=_manifest_texts, dtype=dtype)


def _manifest_architecture(value: Any) -> bool:
    def kwargs(found: Any) -> bool:
        return isinstance(found, dict)

    texts = dict.fromkeys(("name", "target", "package"), _manifest_text)
    return value is None or _manifest_has(value, helpers=_manifest_texts, kwargs=kwargs, **texts)


def _manifest_layouts(value: Any) -> bool:
    return isinstance(value, list) and all(one in ("transposed", "strided", "expanded") for one in value)


def _manifest_pairs(value: Any) -> bool:
    return value is None or (isinstance(value, dict) and all(isinstance(one, str) for one in value.values()))


_MANIFEST_NEEDED = frozenset({"kind", "artifact", "output", "yardstick", "parameters", "inputs", "cases"})

_MANIFEST_FIELDS: dict[str, tuple[_ManifestTest, str]] = {
    "kind": (lambda value: value in MANIFEST_KINDS, f"one of {', '.join(MANIFEST_KINDS)}"),
    "artifact": (_manifest_artifact, "the name of a file"),
    "output": (_manifest_output, "a structure and the paths of its tensors"),
    "yardstick": (_manifest_yardstick, "a yardstick"),
    "parameters": (_manifest_parameters, "a digest, dtype, shape, mean and RMS by name"),
    "inputs": (_manifest_inputs, "a list of arguments"),
    "cases": (_manifest_cases, "a list of cases"),
    "batch": (_manifest_batch, "a range of batch sizes"),
    "contract": (_manifest_contract, "dynamic dimensions and ranges of values"),
    "search": (
        lambda value: value is None or _manifest_has(value, words=_manifest_text, parts=_manifest_text),
        "words",
    ),
    "layouts": (lambda value: value is None or _manifest_layouts(value), "a list of memory layouts"),
    "modes": (_manifest_modes, "the modes of a model"),
    "architecture": (_manifest_architecture, "how to build a module"),
    "blocked": (lambda value: value is None or _manifest_texts(value), "a list of names"),
    "ties versions": (_manifest_pairs, "texts by name"),
    "prefix not_comparable": (lambda value: value is None or isinstance(value, str), "a text"),
}
"""Field of the manifest, or several, → what its value must pass, and what it then is."""
