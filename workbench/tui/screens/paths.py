"""What a path being typed could become. Looks at directories only; pure otherwise."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from workbench.client.directories import FOLDER, kind_of

MOST = 200
"""Entries offered at once."""


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
