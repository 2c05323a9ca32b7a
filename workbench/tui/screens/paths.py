"""What a path being typed could become, and which directories are more than folders. Looks at directories only."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path

from workbench.protocol.captures import is_capture

CAPTURE, BUNDLE, MODEL, FOLDER = "capture", "bundle", "model with a config.json", "folder"
"""What a directory is, by the files that every one of its kind has."""

MOST = 200
"""Entries offered at once."""

_CONFIG = 1 << 20
"""Bytes of a config.json."""


def listing(text: str, base: str, suffixes: Sequence[str]) -> list[str]:
    """Paths that begin with `text`: files with one of `suffixes`, and directories with a trailing "/".

    Folders come last, and first once a name is begun: one goes on from there. Relative to `base` when `text` is; hidden
    names only when asked for by their dot. Empty when nothing can be read.
    """
    folder, _, start = text.rpartition("/")
    shown = text[: len(text) - len(start)]
    place = Path(base, os.path.expanduser(shown or ".")) if folder or not text.startswith("/") else Path("/")
    folders: list[str] = []
    files: list[str] = []
    try:
        with os.scandir(place) as entries:
            for entry in entries:
                name = entry.name
                if not name.startswith(start) or (name.startswith(".") and not start.startswith(".")):
                    continue
                if entry.is_dir():
                    (folders if kind_of(entry.path) == FOLDER else files).append(f"{shown}{name}/")
                elif name.endswith(tuple(suffixes)):
                    files.append(f"{shown}{name}")
    except OSError:
        return []
    return (sorted(folders) + sorted(files) if start else sorted(files) + sorted(folders))[:MOST]


def kind_of(directory: str) -> str:
    """What a directory is: one of the words above; what lies in it is not read."""
    if is_capture(directory):
        return CAPTURE
    if _has(directory, "manifest.json") and _has(directory, "verify.py"):
        return BUNDLE
    return MODEL if _has(directory, "config.json") else FOLDER


def _has(directory: str, name: str) -> bool:
    return os.path.isfile(os.path.join(directory, name))


def built_by(directory: str) -> str:
    """How a target of a directory with a config.json begins; empty where it is not transformers that builds it."""
    try:
        with open(os.path.join(directory, "config.json"), "rb") as stream:
            config = json.loads(stream.read(_CONFIG))
    except (OSError, ValueError, RecursionError):
        return ""
    named = isinstance(config, dict) and (config.get("architectures") or config.get("model_type"))
    return "transformers:" if named else ""


def completion(text: str, found: Sequence[str]) -> str:
    """What tab makes of `text`: as much as all of `found` have in common."""
    common = os.path.commonprefix(list(found))  # noqa: RUF071 (letters are what is being typed)
    return common if len(common) > len(text) else text


def free_name(path: str) -> str:
    """`path`, or with -2, -3 … behind it when it is taken, as a bundle's directory must not exist yet."""
    candidate, number = path, 1
    while os.path.lexists(candidate):
        number += 1
        candidate = f"{path}-{number}"
    return candidate
