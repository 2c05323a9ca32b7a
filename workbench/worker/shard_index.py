"""The index of weights that lie in several files, as huggingface_hub writes it, and which weights of a directory count.

The only reader of an index, and the only rule for directories: what loads them and what looks at them go by the same
names and limits. Standard library only.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from workbench.protocol.kinds import INDEX_LIMIT, is_index

INDEXES = (
    "model.safetensors.index.json",
    "diffusion_pytorch_model.safetensors.index.json",
    "pytorch_model.bin.index.json",
)
"""Names that Hugging Face's programs give an index, the safest first."""

NAMES = (*INDEXES[:2], "model.safetensors", "diffusion_pytorch_model.safetensors", INDEXES[2], "pytorch_model.bin")
"""What a directory of weights holds, the safest first."""

WEIGHTS = (".safetensors", ".pt", ".pth", ".bin")
"""How the names of weights files end."""


def chosen_in(directory: str) -> tuple[str, list[str]]:
    """(name of the index or weights file that stands for a directory, or empty, all weights files). Raises OSError."""
    there = sorted(name for name in os.listdir(directory) if os.path.isfile(os.path.join(directory, name)))
    files = [name for name in there if name.endswith(WEIGHTS)]
    for name in NAMES:
        if name in there:
            return name, files
    only = [name for name in there if name.endswith(".index.json")] or files
    return only[0] if len(only) == 1 else "", files


def beside(name: object) -> bool:
    """Whether an index names a file in its own directory: it may lead nowhere else."""
    return isinstance(name, str) and bool(name) and os.path.basename(name) == name and name not in (".", "..")


def read_placed(path: Path) -> tuple[dict[str, str], dict[str, str]]:
    """(name of a tensor → its file, metadata) of an index. Raises ValueError in plain words, or OSError."""
    found = read_json(path)
    if not is_index(found):
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
    if path.stat().st_size > INDEX_LIMIT:
        raise ValueError(f"{path.name} has more than {INDEX_LIMIT >> 20} MB")
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
