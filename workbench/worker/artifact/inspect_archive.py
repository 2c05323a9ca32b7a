"""Reads what torch.save, torch.jit.save and torch.export.save write, and bare pickles, without loading any of it.

Owns the bounds on archives: sizes are taken from the directory, and nothing is inflated beyond them.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from workbench.protocol.artifacts import InspectedTensor
from workbench.protocol.kinds import LEGACY_HEAD
from workbench.protocol.pickle_bounds import PICKLE_LIMIT, archived_pickle
from workbench.protocol.pickle_names import allowed_name
from workbench.worker.artifact.inspect_facts import facts_of
from workbench.worker.artifact.inspect_pickle import Machine
from workbench.worker.artifact.inspect_pt2 import program_tensors
from workbench.worker.artifact.inspect_records import BrokenPickle, TruncatedPickle
from workbench.worker.artifact.inspect_tensors import Tensors, tensors_of

RATIO = 200
"""A member that inflates by more than this is a bomb: torch itself stores without compression."""


@dataclass
class Content:
    """What a file holds."""

    kind: str
    trust: str
    tensors: list[InspectedTensor] = field(default_factory=list)
    globals: list[str] = field(default_factory=list)
    metadata: dict[str, str] = field(default_factory=dict)
    members: list[str] = field(default_factory=list)
    words: list[str] = field(default_factory=list)
    unsafe: frozenset[str] = frozenset()
    stored: int | None = None
    """Bytes of all storages; None: what the tensors add up to."""


def read_torch_archive(path: Path, kind: str) -> Content:
    """A zip of torch's. Raises `BrokenPickle`, OSError, or ValueError in plain words."""
    try:
        with zipfile.ZipFile(path) as archive:
            infos = _checked(archive.infolist(), path)
            if kind in ("pt2", "aoti"):
                return _program(infos, kind, program_tensors(archive))
            top = next(info.filename for info in infos if info.filename.endswith("data.pkl")).removesuffix("data.pkl")
            data = _pickle(archive, f"{top}data.pkl", path.stat().st_size)
            sizes = {
                info.filename.removeprefix(f"{top}data/"): info.file_size
                for info in infos
                if info.filename.startswith(f"{top}data/")
            }
    except (zipfile.BadZipFile, zipfile.LargeZipFile, NotImplementedError, RuntimeError, EOFError) as problem:
        raise ValueError(f"its archive does not read ({problem})") from problem
    machine = Machine(data)
    root = machine.run()
    content = _from_pickle(map(str, machine.globals), tensors_of(root, sizes))
    content.metadata = facts_of(root)
    content.members = [info.filename for info in infos]
    if kind == "torchscript":
        code = sum(info.filename.startswith(f"{top}code/") and info.filename.endswith(".py") for info in infos)
        content.kind, content.trust, content.unsafe = "torchscript", "CODE (Python)", frozenset()
        content.words = [f"TorchScript: a program of {code} code files with its tensors. torch.jit.load runs it."]
    return content


def read_archive(path: Path) -> Content:
    """A zip that is none of torch's."""
    with zipfile.ZipFile(path) as archive:
        members = [info.filename for info in archive.infolist()]
    return Content("unknown", "DATA", members=members, words=["a zip archive of something else than torch's."])


def read_pickle(path: Path) -> Content:
    """A bare pickle. Raises `BrokenPickle` or OSError."""
    machine, root = _run_growing(path, 0)
    content = _from_pickle(map(str, machine.globals), tensors_of(root, {}) if not machine.globals else Tensors())
    content.kind, content.trust = "pickle", "CODE (Python)"
    content.words = ["a bare pickle: loading it calls whatever it names.", *content.words[1:]]
    return content


def read_legacy(path: Path) -> Content:
    """torch.save before 1.6: pickles one after the other, then the storages. Raises `BrokenPickle` or OSError."""
    machine, root = _run_growing(path, LEGACY_HEAD)
    found = tensors_of(root, None)
    keys = Machine(machine.data, machine.at)
    listed = keys.run()
    named = isinstance(listed, list) and all(isinstance(key, (str, int)) for key in listed)
    if not named or not set(found.stored) <= set(map(str, listed)):
        raise BrokenPickle("its list of storages does not name what the tensors need")
    # each storage is its number of elements in eight bytes, then its elements
    end, size = keys.at + 8 * len(listed) + sum(found.stored.values()), path.stat().st_size
    if size < end:
        raise TruncatedPickle(f"the file ends at byte {size}, and its tensors need {end}")
    content = _from_pickle(map(str, machine.globals), found)
    content.metadata = facts_of(root)
    content.words.append("written in torch's format from before 1.6.")
    return content


def _run_growing(path: Path, skipped: int) -> tuple[Machine, Any]:
    """The pickle after `skipped` others; more of the file is read as long as it ends too early."""
    size = path.stat().st_size
    limit = 1 << 20
    while True:
        with open(path, "rb") as stream:
            data = stream.read(limit)
        try:
            at = 0
            for _ in range(skipped):
                before = Machine(data, at)
                before.run()
                at = before.at
            machine = Machine(data, at)
            return machine, machine.run()
        except TruncatedPickle:  # raised below for the file, not for the part of it
            if limit >= min(size, PICKLE_LIMIT):
                raise
            limit *= 8


def _from_pickle(names: Iterable[str], found: Tensors) -> Content:
    listed = sorted(names)
    unsafe = frozenset(name for name in listed if not allowed_name(name))
    count = len(found.found)
    if unsafe:
        modules = f" ({next(iter(found.types))})" if found.types else ""
        what = f"a pickled module{modules}" if found.types else "a pickle that imports names"
        needs = f"loading it imports {', '.join(sorted(unsafe)[:5])}{' …' if len(unsafe) > 5 else ''}"
        content = Content("pickle", "CODE (Python)", words=[f"{what}: {needs}, and runs what they do."])
        if found.types:
            content.words.append("it only loads where that source is importable; a state_dict loads anywhere.")
    else:
        content = Content(
            "state_dict",
            "DATA",
            words=[f"{count} tensor{'s' if count != 1 else ''}; torch.load(weights_only=True) opens it."],
        )
    content.tensors, content.globals, content.unsafe = found.found, listed, unsafe
    content.stored = sum(found.stored.values())
    if found.nested and not unsafe:
        content.words.append("the tensors lie deeper than the top: a training checkpoint.")
    if found.expanded:
        content.words.append(f"{found.expanded[0]} claims more elements than are stored (a stride of 0).")
    if found.deep:
        content.words.append("parts are nested too deep, or too many, to be listed.")
    return content


def _program(infos: list[zipfile.ZipInfo], kind: str, named: dict[str, tuple[str, str, tuple[int, ...]]]) -> Content:
    members = [info.filename for info in infos]
    tensors = []
    for info in infos:
        inside = info.filename.partition("/")[2]
        if inside.startswith("data/weights/") and not inside.endswith(".json"):
            key = inside.rpartition("/")[2]
            name, dtype, shape = named.get(info.filename, (key, "uint8", (info.file_size,)))
            tensors.append(InspectedTensor(name, dtype, shape, info.file_size, key))
    if kind == "aoti":
        words = ["an AOTInductor package: compiled native code. Loading it runs it."]
        return Content("aoti", "CODE (native)", tensors, members=members, words=words)
    words = ["a torch.export program. torch.export.load may run code of the file."]
    return Content("pt2", "CODE (Python)", tensors, members=members, words=words)


def _checked(infos: list[zipfile.ZipInfo], path: Path) -> list[zipfile.ZipInfo]:
    """Raises ValueError for members that claim to be larger than their archive could hold."""
    size = path.stat().st_size
    for info in infos:
        if info.file_size > RATIO * max(info.compress_size, 1) + 4096 or info.compress_size > size:
            raise _bomb(info)
    stored = sum(info.compress_size for info in infos)
    if stored > size:
        raise ValueError(f"its members claim {stored} bytes in a file of {size}")
    return infos


def _bomb(info: zipfile.ZipInfo) -> ValueError:
    claim = f"{info.filename} claims {info.file_size} bytes from {info.compress_size}"
    return ValueError(f"{claim}: a bomb, or a broken directory")


def _pickle(archive: zipfile.ZipFile, name: str, size: int) -> bytes:
    """The pickle of an archive of `size` bytes, within bounds."""
    info = archive.getinfo(name)
    if info.file_size > PICKLE_LIMIT:
        raise ValueError(f"{name} is larger than {PICKLE_LIMIT >> 20} MB")
    data = archived_pickle(archive, name, size)
    if data is None:
        raise _bomb(info)
    return data
