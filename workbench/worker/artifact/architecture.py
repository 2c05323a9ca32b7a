"""How the architecture of a bundle is built again: its source beside the weights, or the package it needs.

Writes source snapshots into the staging directory; never a pickled module.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
from pathlib import Path
from typing import Any

from workbench.protocol import files
from workbench.protocol.failures import error
from workbench.protocol.model import Recipe
from workbench.worker.bench.load import Built

SNAPSHOT = "architecture.py"


def architecture_of(recipe: Recipe, built: Built, stage: Path | None) -> dict[str, Any]:
    """The manifest's entry; with `stage`, the source is snapshotted there and the entry names the files.

    Raises `WorkbenchError` ("write", or "export" when the source on the disk is no longer what ran).
    """
    resolved = built.resolved
    holder = recipe.target.rpartition(":")[0]
    is_file = holder.endswith(".py") or os.sep in holder
    entry: dict[str, Any] = {"name": resolved.name, "kwargs": recipe.kwargs, "sha256": resolved.sha256}
    if not is_file:
        package = holder.split(".")[0]
        entry.update(target=recipe.target, package=package, version=_version(package))
        if stage is not None and _is_beside(resolved.file, resolved.root):
            entry["helpers"] = _copy_sources(built.source_files, resolved.root, stage)
        return entry
    entry["target"] = f"{os.path.basename(holder)}:{resolved.name}"
    if stage is None:
        return entry
    source = Path(resolved.file).read_bytes()
    if hashlib.sha256(source).hexdigest() != resolved.sha256:
        message = f"{resolved.file} was edited while the export ran: the weights are of the source before."
        raise error("export", message, resolved.file, "Export again.")
    files.write_bytes(stage / SNAPSHOT, source)
    return {**entry, "file": SNAPSHOT, "helpers": _copy_sources(built.source_files[1:], resolved.root, stage)}


def _copy_sources(sources: tuple[str, ...], root: str, stage: Path) -> list[str]:
    """Copy modules into `stage` where they lie below `root`; their relative names."""
    copied = []
    for path in sources:
        name = os.path.relpath(path, root)
        if name.startswith(os.pardir) or (stage / name).exists():
            continue
        (stage / name).parent.mkdir(parents=True, exist_ok=True)
        files.write_bytes(stage / name, Path(path).read_bytes())
        copied.append(name)
    return copied


def blocked_sources(built: Built, kind: str) -> list[str]:
    """File names and top-level packages that must not be importable in a clean proof, without any folders.

    Weights need their helper modules and their package: only the model's own file is blocked.
    """
    resolved = built.resolved
    package = resolved.module.__name__.partition(".")[0]
    from_file = package.startswith("workbench_model_")  # the name under which the bench runs a file
    if not from_file:
        return [] if kind == "weights" else [package]
    sources = built.source_files[:1] if kind == "weights" else built.source_files
    return sorted({os.path.basename(path) for path in sources if os.path.basename(path) != "__init__.py"})


def _is_beside(path: str, root: str) -> bool:
    inside = os.path.abspath(path).startswith(os.path.abspath(root) + os.sep)
    return inside and "site-packages" not in path and "dist-packages" not in path


def _version(package: str) -> str:
    """Version of the installed distribution that has `package`; empty when none says so."""
    for name in importlib.metadata.packages_distributions().get(package, [package]) if _can_map() else [package]:
        try:
            return importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return ""


def _can_map() -> bool:
    return hasattr(importlib.metadata, "packages_distributions")
