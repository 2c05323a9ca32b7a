"""What makes a proof clean and a bundle whole: the model's source cannot be imported, every file has its digest.

Never loads an artifact and never blocks torch or the standard library. Carried into a bundle's verify.py: torch and
the standard library only.
"""

from __future__ import annotations

import hashlib
import os
import stat
import sys
import sysconfig
from collections.abc import Iterable
from importlib.abc import MetaPathFinder
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Any

_CLEAN_NEVER = frozenset({"torch", "workbench", "__main__"})
"""Top-level names that are not the model's, whatever its target says."""

_CLEAN_CHUNK = 1 << 20

LINK_WORDS = "a symbolic link, which a bundle may not hold"


class SourceBlocked(ModuleNotFoundError):
    """The model's own source was asked for, where it may not be had."""


class SourceBlocker(MetaPathFinder):
    """First on sys.meta_path: refuses the model's own files and packages, and remembers who asked for them."""

    def __init__(self, blocked: Iterable[str]) -> None:
        entries = [one for one in blocked if one]
        self.files = {Path(one).name for one in entries if one.endswith(".py")}
        self.stems = {Path(one).stem for one in self.files if Path(one).stem != "__init__"}
        self.packages = {one.split(".")[0] for one in entries if not one.endswith(".py")} - _CLEAN_NEVER
        self.paths = {os.path.realpath(one) for one in entries if one.endswith(".py") and os.path.isabs(one)}
        self.asked: list[str] = []

    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> None:
        """Raises SourceBlocked for a blocked name; None (others may find it) for any other."""
        top = fullname.partition(".")[0]
        if top in self.packages or (fullname in self.stems and not _clean_standard(fullname)):
            self.asked.append(fullname)
            raise SourceBlocked(f"{fullname} is the model's own source, which a clean proof blocks", name=fullname)

    def __enter__(self) -> SourceBlocker:
        sys.meta_path.insert(0, self)
        return self

    def __exit__(self, *_: object) -> None:
        sys.meta_path.remove(self)

    def leaks(self) -> list[str]:
        """Modules in sys.modules that are the model's own source."""
        found = []
        for name, module in list(sys.modules.items()):
            origin = getattr(module, "__file__", None)
            own_path = isinstance(origin, str) and os.path.realpath(origin) in self.paths
            own_name = name in self.stems and not _clean_standard(name) and Path(str(origin)).name in self.files
            if name.partition(".")[0] in self.packages or own_path or own_name:
                found.append(name)
        return sorted(found)


def _clean_standard(name: str) -> bool:
    """Whether `name` is the standard library's or torch's: a model file `types.py` must not stop `import types`."""
    if name in _CLEAN_NEVER or name in sys.stdlib_module_names:
        return True
    spec = PathFinder.find_spec(name)
    library = os.path.realpath(sysconfig.get_paths()["stdlib"])
    origin = os.path.realpath(spec.origin) if spec is not None and spec.origin else ""
    return origin.startswith(library + os.sep) and "site-packages" not in origin


def file_sha256(path: Path) -> tuple[str, int]:
    """Hex digest and size in bytes of a regular file. Raises ValueError in plain words for anything else."""
    try:
        if not stat.S_ISREG(os.lstat(path).st_mode):
            raise ValueError(f"{path.name} is no regular file")
        digest, size = hashlib.sha256(), 0
        with open(path, "rb") as stream:
            while chunk := stream.read(_CLEAN_CHUNK):
                digest.update(chunk)
                size += len(chunk)
    except OSError as problem:
        raise ValueError(f"{path.name} cannot be read: {problem.strerror or problem}") from problem
    return digest.hexdigest(), size


def file_differences(stage: Path, expected: dict[str, dict[str, Any]]) -> list[str]:
    """How the files in `stage` differ from `expected` (name → {"sha256", "bytes"}); empty when they agree.

    Files that are not listed are differences too, except manifest.json, which lists the others. So is every link:
    what it stands for is not in the bundle.
    """
    links, present = [], set()
    for path in stage.rglob("*"):
        name = str(path.relative_to(stage))
        if path.is_symlink():
            links.append(name)
        elif not path.is_dir():
            present.add(name)
    wrong = [f"{name}: {LINK_WORDS}" for name in sorted(links)]
    for name, entry in sorted(expected.items()):
        path = stage / name
        if name in links:
            continue
        if os.path.isabs(name) or ".." in Path(name).parts:
            wrong.append(f"{name}: listed outside the bundle")
        elif not os.path.lexists(path):
            wrong.append(f"{name}: missing")
        else:
            wrong.extend(_clean_file(path, name, entry))
    wrong.extend(f"{name}: not in the manifest" for name in sorted(present - set(expected) - {"manifest.json"}))
    return wrong


def _clean_file(path: Path, name: str, entry: dict[str, Any]) -> list[str]:
    try:
        digest, size = file_sha256(path)
    except ValueError as problem:
        return [str(problem)]
    wanted = entry.get("bytes")
    if isinstance(wanted, int) and wanted != size:
        return [f"{name}: {size} bytes, the manifest says {wanted}"]
    if digest != entry.get("sha256"):
        return [f"{name}: sha256 {digest[:12]}…, the manifest says {str(entry.get('sha256'))[:12]}…"]
    return []
