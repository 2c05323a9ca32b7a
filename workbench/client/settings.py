"""Files beside a model that say something about it: `workbench.toml`, and `[tool.workbench]` of a pyproject.toml.

It finds and reads them, and decides nothing about what stands in them.
"""

from __future__ import annotations

import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workbench.protocol.failures import error


@dataclass(frozen=True)
class Settings:
    """What one file says."""

    path: Path
    content: dict[str, Any]


def beside(target: str, directory: str = "") -> list[Settings]:
    """What lies beside the model that `target` names, the file that counts least first.

    `workbench.toml` is looked for in the model's own folder, with or without a `[tool.workbench]` of its own; a
    pyproject.toml with `[tool.workbench]` there and above it, up to the root of the repository, the nearest alone.
    Outside of a repository nothing above is read.
    Raises `WorkbenchError("usage")` for a file that cannot be read.
    """
    file, separator, _ = target.rpartition(":")
    folder = Path(directory or ".") / (Path(file).parent if separator and file.endswith(".py") else Path())
    found = []
    for place in _up_to_the_root(folder):
        content = read(place / "pyproject.toml")
        tool = content.get("tool", {}) if content else {}
        if isinstance(tool, dict) and isinstance(tool.get("workbench"), dict):
            found.append(Settings(place / "pyproject.toml", tool["workbench"]))
            break
    own = read(folder / "workbench.toml")
    if own is None:
        return found
    return [*found, Settings(folder / "workbench.toml", _untabled(own, folder / "workbench.toml"))]


def _untabled(content: dict[str, Any], path: Path) -> dict[str, Any]:
    """What a workbench.toml says, also where it stands under [tool.workbench], as in a pyproject.toml."""
    tool = content.get("tool")
    if not isinstance(tool, dict) or set(tool) != {"workbench"} or not isinstance(tool["workbench"], dict):
        return content
    if twice := sorted((set(content) - {"tool"}) & set(tool["workbench"])):
        message = f"{path} sets {twice[0]} twice: by itself and under [tool.workbench]."
        raise error("usage", message, str(path), "Remove one of them.")
    return {**{key: value for key, value in content.items() if key != "tool"}, **tool["workbench"]}


def read(path: Path) -> dict[str, Any] | None:
    """The content of a TOML file; None when there is none. Raises `WorkbenchError("usage")`."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise error("usage", f"{path} is no regular file.", str(path), "Move it away.")
        return _parse(path.read_text("utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError, RecursionError) as problem:
        raise error("usage", f"{path} cannot be read: {problem}.", str(path), "Mend it or move it away.") from problem


def _parse(text: str) -> dict[str, Any]:
    import tomllib  # not before there is a file: most starts have none

    return tomllib.loads(text)


def _up_to_the_root(folder: Path) -> list[Path]:
    """`folder` and what is above it, to the repository's root; `folder` alone where it is in none."""
    chain = [folder, *folder.resolve().parents]
    for count, place in enumerate(chain, 1):
        if (place / ".git").exists():
            return chain[:count]
    return [folder]
