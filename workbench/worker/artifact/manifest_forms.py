"""The form that each field of a manifest must have for a proof to use it.

Pure. Carried into a bundle's verify.py: the standard library and torch only.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

MANIFEST_KINDS = ("weights", "trace", "export", "aoti", "onnx", "runner")
"""Kinds of artifact that a proof can judge. A "runner" is a command, which no manifest can name: whoever asks does."""

_MANIFEST_DEPTH = 100
"""Nesting of an argument; what a model takes is flatter."""

ManifestTest = Callable[[Any], bool]


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


def _manifest_pair(found: Any) -> bool:
    return isinstance(found, list) and len(found) == 2 and all(map(_manifest_number, found))


def manifest_file_entry(entry: Any) -> bool:
    """What a list of files says of one of them."""
    return isinstance(entry, dict) and _manifest_text(entry.get("sha256")) and _manifest_whole(entry.get("bytes"))


def _manifest_has(record: Any, **tests: ManifestTest) -> bool:
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
    fields = {"rms", "largest", "eps", "cases", "scale", "worst", "chain"}
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
    tests: dict[str, ManifestTest] = {"batch": _manifest_whole, "output": _manifest_output, "sizes": _manifest_axes}
    return isinstance(value, dict) and _manifest_has(value, **tests, words=_manifest_text)


def _manifest_axes(found: Any) -> bool:
    return isinstance(found, dict) and all(map(_manifest_whole, found.values()))


def _manifest_batch(value: Any) -> bool:
    tests: dict[str, ManifestTest] = {"maximum": _manifest_whole, "reason": _manifest_text, "declared": _manifest_pair}
    return value is None or _manifest_has(value, **tests, axes=_manifest_axes)


def _manifest_worklist(value: Any) -> bool:
    texts = dict.fromkeys(("name", "became", "where", "line", "remedy"), _manifest_text)
    return value is None or (isinstance(value, list) and all(_manifest_has(one, **texts) for one in value))


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
        return isinstance(found, dict) and all(map(_manifest_pair, found.values()))

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


MANIFEST_NEEDED = frozenset({"kind", "artifact", "output", "yardstick", "parameters", "inputs", "cases"})

MANIFEST_FIELDS: dict[str, tuple[ManifestTest, str]] = {
    "kind": (lambda value: value in MANIFEST_KINDS, f"one of {', '.join(MANIFEST_KINDS)}"),
    "artifact": (_manifest_artifact, "the name of a file"),
    "output": (_manifest_output, "a structure and the paths of its tensors"),
    "yardstick": (_manifest_yardstick, "a yardstick"),
    "parameters": (_manifest_parameters, "a digest, dtype, shape, mean and RMS by name"),
    "inputs": (_manifest_inputs, "a list of arguments"),
    "cases": (_manifest_cases, "a list of cases"),
    "batch": (_manifest_batch, "a range of batch sizes"),
    "worklist": (_manifest_worklist, "a list of sizes that were to be free"),
    "contract": (_manifest_contract, "dynamic dimensions and ranges of values"),
    "search": (
        lambda value: (
            value is None
            or _manifest_has(
                value, words=_manifest_text, parts=_manifest_text, ways=lambda ways: isinstance(ways, bool)
            )
        ),
        "words",
    ),
    "layouts": (lambda value: value is None or _manifest_layouts(value), "a list of memory layouts"),
    "as_the_example": (lambda value: value is None or _manifest_texts(value), "a list of names"),
    "modes": (_manifest_modes, "the modes of a model"),
    "architecture": (_manifest_architecture, "how to build a module"),
    "blocked instructions": (lambda value: value is None or _manifest_texts(value), "a list of names"),
    "ties versions rewritten": (_manifest_pairs, "texts by name"),
    "prefix not_comparable": (lambda value: value is None or isinstance(value, str), "a text"),
}
"""Field of the manifest, or several, → what its value must pass, and what it then is."""
