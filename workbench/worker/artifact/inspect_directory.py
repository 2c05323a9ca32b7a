"""Looks into directories of weights and into the index of weights that lie in several files, running none of it.

Owns what belongs together: which shard holds which name, what an index claims against what its shards hold, and what
a config.json says. Each file is read by the reader of its own kind, which is given. Standard library only.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from workbench.protocol.captures import STATE, TRUST, read_capture
from workbench.worker.artifact.inspect_archive import Content
from workbench.worker.bench.words import counted, some, with_article
from workbench.worker.shard_index import beside, chosen_in, read_json, read_placed

Read = Callable[[Path], Content]
"""Reads one file, and never those that an index names. Raises ValueError or OSError."""

SHARDS = 10_000
"""Files of one index that are opened."""

_FACTS = ("model_type", "architectures", "architecture", "torch_dtype", "dtype", "transformers_version", "num_classes")
"""Entries of a config.json that are shown."""


def read_index(path: Path, read: Read) -> Content:
    """The tensors of every shard that an index names. Raises ValueError in plain words, or OSError."""
    claimed, metadata = read_placed(path)
    names: dict[str, list[str]] = {}
    for tensor, file in claimed.items():
        names.setdefault(file, []).append(tensor)
    if len(names) > SHARDS:
        raise ValueError(f"it names {len(names)} files")
    content = Content("index", "DATA", metadata=metadata, members=list(names))
    problems: list[str] = []
    for file, wanted in names.items():
        _shard(path.parent, file, wanted, read, content, problems)
    for name in [one.name for one in content.tensors if one.name not in claimed][:3]:
        problems.append(f"{name} is in a shard and not in the index")
    what = f"an index of {counted(len(claimed), 'tensor')} in {counted(len(names), 'file')}"
    opens = "it does not load as it is." if problems else f"--weights {path.name} or its directory loads them together."
    content.words[:0] = [f"{what}: {opens}", *problems[:12]]
    if len(problems) > 12:
        content.words.insert(13, f"… and {len(problems) - 12} more")
    return content


def _shard(folder: Path, file: str, wanted: list[str], read: Read, content: Content, problems: list[str]) -> None:
    """Add one shard's tensors; what does not fit goes to `problems`."""
    if not beside(file):
        problems.append(f"{file} does not lie beside the index, which leads nowhere else")
        return
    try:
        if not (folder / file).is_file():
            problems.append(f"{file} is missing: {counted(len(wanted), 'tensor')}, {some(wanted, 1)}")
            return
        held = read(folder / file)
    except (ValueError, OSError) as problem:
        problems.append(f"{file} is broken: {problem}")
        return
    if held.kind not in ("safetensors", "state_dict"):
        content.trust = held.trust if held.trust != "DATA" else content.trust
        problems.append(f"{file} is {with_article(held.kind)}, and no file of tensors")
        content.unsafe |= held.unsafe
    content.tensors += [replace(one, storage=f"{file}:{one.storage}" if one.storage else "") for one in held.tensors]
    there = {one.name for one in held.tensors}
    for name in [name for name in wanted if name not in there][:3]:
        problems.append(f"{name} is not in {file}, where the index has it")


def read_directory(path: Path, read: Read) -> Content | None:
    """A directory of weights, with or without a config.json; None when it holds neither. Raises ValueError, OSError."""
    names = sorted(os.listdir(path))
    config = _config(path) if "config.json" in names else None
    chosen, files = chosen_in(str(path))
    if config is None and not chosen:
        return None
    if chosen.endswith(".index.json"):
        content = read_index(path / chosen, read)
    else:
        content = Content("directory", "DATA")
        _single(path, chosen, files, read, content)
    content.kind = "directory"
    content.members = names
    if config is not None:
        content.metadata = {**content.metadata, **_facts(config)}
        content.words[:0] = _about(path, config, names)
    return content


def read_captured(path: Path, read: Read) -> Content:
    """A capture of a running program. Raises `WorkbenchError("load")` for a manifest that does not read, ValueError,
    OSError."""
    capture = read_capture(str(path))
    content = Content("capture", TRUST)
    if (path / STATE).is_file():
        held = read(path / STATE)
        content.tensors, content.stored = held.tensors, held.stored
    calls = {} if capture.cut else {"calls watched": str(capture.calls)}  # nobody counted them to their end
    content.metadata = {"model": capture.name, "samples": str(capture.samples), **calls}
    content.members = sorted(str(one.relative_to(path)) for one in path.rglob("*") if one.is_file())
    opens = f"it opens as a model: workbench {path.name}"
    lacks = f", but without {', '.join(capture.left_out[:5])}, which its forward may use" if capture.left_out else ""
    how = opens + lacks if capture.source else f"it cannot be built again: {capture.why}"
    content.words = [
        f"{capture.name} as a running program had it, with {capture.samples} of its real inputs; {how}.",
        f"Opening it runs {', '.join(capture.code) or 'no file of its own'}.",
        *capture.notes,
    ]
    return content


def _single(path: Path, chosen: str, files: list[str], read: Read, content: Content) -> None:
    """The weights of a directory without an index: the file that stands for it."""
    others = [name for name in files if name != chosen]
    listed = f"{', '.join(others[:6])}{' …' if len(others) > 6 else ''}"
    if not chosen:
        content.words.append(f"no one file is its weights; there are {listed}." if files else "no weights lie in it.")
        return
    held = read(path / chosen)
    content.tensors, content.trust, content.unsafe = held.tensors, held.trust, held.unsafe
    content.globals, content.stored, content.metadata = held.globals, held.stored, held.metadata
    content.words.append(f"weights: {chosen}, {held.kind}. {' '.join(held.words)}")
    if others:
        content.words.append(f"also there: {listed}")


def _config(path: Path) -> dict[str, Any]:
    found = read_json(path / "config.json")
    if not isinstance(found, dict):
        raise ValueError("config.json is no JSON object")
    return found


def _facts(config: dict[str, Any]) -> dict[str, str]:
    return {key: json.dumps(config[key]).strip('"') for key in _FACTS if key in config}


def _about(path: Path, config: dict[str, Any], names: list[str]) -> list[str]:
    """Sentences about the architecture that a config.json names."""
    architectures = config.get("architectures")
    named = str(architectures[0]) if isinstance(architectures, list) and architectures else ""
    timm = config.get("architecture") if isinstance(config.get("architecture"), str) else ""
    words = []
    if named:
        words.append(f"a model of Hugging Face's kind: {named} of transformers.")
    elif timm:
        words.append(f"a model of Hugging Face's kind: {timm} of timm.")
    else:
        words.append("a directory with a config.json, which names no architecture.")
    own = config.get("auto_map")
    if isinstance(own, dict) and own:
        files = sorted({f"{str(value).partition('.')[0].rpartition('--')[2]}.py" for value in own.values()})
        there = ", ".join(file for file in files if file in names) or ", ".join(files)
        words.append(f"its architecture is code of its own ({there}): loading it runs that.")
    elif named and any(name.endswith(".py") for name in names):
        words.append("Python files lie beside it; nothing in the config asks for them.")
    return words
