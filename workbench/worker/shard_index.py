"""The index of weights that lie in several files, as huggingface_hub writes it: read, and nothing else.

The only reader of an index: what loads the shards and what looks at them go by the same names and limits. Standard
library only.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

JSON_LIMIT = 256 << 20
"""Bytes of an index; one of half a million names has about 50 MB."""

INDEXES = (
    "model.safetensors.index.json",
    "diffusion_pytorch_model.safetensors.index.json",
    "pytorch_model.bin.index.json",
)
"""Names that Hugging Face's programs give an index, the safest first."""


def _is_index(data: Any) -> bool:
    """Whether a JSON value is an index: names of tensors → names of files."""
    return isinstance(data, dict) and isinstance(data.get("weight_map"), dict)


def read_placed(path: Path) -> tuple[dict[str, str], dict[str, str]]:
    """(name of a tensor → its file, metadata) of an index. Raises ValueError in plain words, or OSError."""
    found = read_json(path)
    if not _is_index(found):
        raise ValueError("it is no index of weights")
    claimed = found["weight_map"]
    for name, file in claimed.items():
        if not isinstance(file, str) or not file:
            raise ValueError(f"its index has no file for {name!r}")
    metadata = found.get("metadata")
    facts = {str(key): str(value) for key, value in metadata.items()} if isinstance(metadata, dict) else {}
    return claimed, facts


def read_json(path: Path) -> Any:
    """The JSON of a file. Raises ValueError in plain words, or OSError."""
    if path.stat().st_size > JSON_LIMIT:
        raise ValueError(f"{path.name} has more than {JSON_LIMIT >> 20} MB")
    try:
        return json.loads(path.read_bytes(), object_pairs_hook=_unique)
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError) as problem:
        raise ValueError(f"{path.name} is no JSON ({type(problem).__name__})") from problem


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise ValueError(f"it names {twice!r} twice")
    return found
