"""Weights that lie in several files: an index of shards, or a directory that holds one or a single weights file.

Owns which files belong together and whether they are all there; what they hold is `weights.py`'s. Nothing is read but
the index (the formats of huggingface_hub: `model.safetensors.index.json`, `pytorch_model.bin.index.json`).
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from workbench.protocol.failures import WorkbenchError, error, unreadable
from workbench.worker.bench.snapshot import Digest
from workbench.worker.bench.words import counted, some
from workbench.worker.shard_index import beside, chosen_in, read_placed


def files_of(path: str) -> tuple[list[str], dict[str, str]]:
    """(files to be read in their order, name of a tensor → its file by the index); of a plain file itself and nothing.

    Raises `WorkbenchError("weights")` for a directory without weights and for an index that cannot be followed.
    """
    if os.path.isdir(path):
        path = in_directory(path)
    if not path.endswith(".index.json"):
        return [path], {}
    placed = _index(path)
    folder = os.path.dirname(path)
    names = sorted(set(placed.values()))
    missing = [name for name in names if not os.path.isfile(os.path.join(folder, name))]
    if missing:
        are = "is" if len(missing) == 1 else "are"
        message = f"{path} names {counted(len(names), 'file')}, and {some(missing)} {are} not there."
        raise error("weights", message, path, "Get the missing files from where the others come from.")
    return [os.path.join(folder, name) for name in names], placed


def in_directory(path: str) -> str:
    """The index or the one weights file in a directory. Raises `WorkbenchError("weights")` where there is none."""
    try:
        name, files = chosen_in(path)
    except OSError as problem:
        raise unreadable("weights", path, problem) from problem
    if name:
        return os.path.join(path, name)
    told = f"it holds {some(files, 6)}" if files else "it holds none"
    raise error("weights", f"{path} is a directory, and no single weights file is in it: {told}.", path, "Name one.")


def _index(path: str) -> dict[str, str]:
    """Name → file of an index. Raises `WorkbenchError("weights")`."""
    try:
        placed, _ = read_placed(Path(path))
    except OSError as problem:
        raise unreadable("weights", path, problem) from problem
    except ValueError as problem:
        message = f"{path} is no index of shards: {problem}."
        raise error("weights", message, path, "Name a weights file.") from problem
    outside = [name for name in placed.values() if not beside(name)]
    if outside:
        message = f"{path} is no index of shards: {outside[0]} does not lie beside it."
        raise error("weights", message, path, "Name a weights file.")
    return placed


def joined(path: str, parts: Sequence[dict[str, Any]], files: Sequence[str], placed: dict[str, str]) -> dict[str, Any]:
    """One state_dict of those of all shards. Raises `WorkbenchError("weights")` where they do not hold what it says."""
    whole: dict[str, Any] = {}
    for file, part in zip(files, parts):  # noqa: B905 (one each)
        twice = [name for name in part if name in whole]
        if twice:
            raise _wrong(path, f"{some(twice)} {'is' if len(twice) == 1 else 'are'} in more than one file")
        strange = [name for name in part if placed.get(name) != os.path.basename(file)]
        if strange:
            raise _wrong(path, f"{os.path.basename(file)} holds {some(strange)}, which the index does not place there")
        whole.update(part)
    absent = [name for name in placed if name not in whole]
    if absent:
        raise _wrong(path, f"{some(absent)} {'is' if len(absent) == 1 else 'are'} in the index and in no file")
    return whole


def _wrong(path: str, reason: str) -> WorkbenchError:
    remedy = "The files do not belong together: get them again."
    return error("weights", f"The shards of {path} are not whole: {reason}.", path, remedy)


class Digests:
    """The digest of several files: the sha256 of their own digests, in their order."""

    def __init__(self, parts: Sequence[Digest]) -> None:
        self._parts = parts

    @property
    def known(self) -> str:
        """In hexadecimal; empty while one of them is being made."""
        each = [part.known for part in self._parts]
        return hashlib.sha256("".join(each).encode()).hexdigest() if all(each) else ""

    def wait(self) -> str:
        """As `Digest.wait`."""
        for part in self._parts:
            part.wait()
        return self.known

    def tell(self, listener: Callable[[str], None]) -> None:
        """As `Digest.tell`; told once, by whichever is made last."""
        told: list[str] = []

        def one(_: str) -> None:
            if self.known and not told:
                told.append(self.known)
                listener(self.known)

        for part in self._parts:
            part.tell(one)

    def forget(self) -> None:
        """As `Digest.forget`."""
        for part in self._parts:
            part.forget()
