"""Options from files: `workbench.toml` beside the model, and the user's own configuration.

What a file beside a model may not say: anything that executes, trusts, or writes. Whoever sends a model could
otherwise decide what runs here. So each file has a list of what it may say, and everything else is an error.
"""

from __future__ import annotations

import difflib
import json
import stat
from pathlib import Path
from typing import Any

from platformdirs import user_config_path

from workbench.protocol.failures import error

BESIDE = {
    "kwargs": "kwargs",
    "weights": "weights",
    "input": "inputs",
    "inputs": "inputs_file",
    "mode": "modes",
    "grad": "grad",
    "seed": "seed",
    "rng": "rng",
    "dtype": "dtype",
    "device": "device",
    "threads": "threads",
    "tolerance": "tolerance",
    "timeout": "timeout",
    "repeat": "repeat",
    "keep-outputs": "keep_outputs",
    "only": "only",
    "skip": "skip",
    "theme": "theme",
    "slow-link": "slow_link",
    "ascii": "ascii_only",
}
"""Long names of the options that a file beside a model may set, and click's names for them."""
OWN = {**BESIDE, "python": "python", "trust": "digests", "allow-code": "allow_code"}
"""The same for the user's own configuration."""
TABLES = ("app", "run", "check", "export", "verify")
"""Commands that may have a table of their own."""

_PATHS = ("weights", "inputs")
_LISTS = ("input", "mode", "trust")


def defaults(target: str, command: str) -> dict[str, Any]:
    """Defaults for click, by its parameter names. Raises `WorkbenchError("usage")` for a file that cannot be used.

    Both files hold options by their long names, at the top level for every command or in a table of one
    command's name; the file beside the model counts more, the command's table more than the top level.
    """
    own = _read(user_config_path("workbench") / "config.toml", command, OWN)
    file, separator, _ = target.rpartition(":")
    folder = Path(file).parent if separator and file.endswith(".py") else Path()
    beside = folder / "workbench.toml"
    found = _read(beside, command, BESIDE)
    for name in _PATHS:
        if isinstance(found.get(name), str):
            found[name] = str(beside.parent / found[name])
    return {OWN[name]: _value(name, value) for name, value in {**own, **found}.items()}


def _read(path: Path, command: str, allowed: dict[str, str]) -> dict[str, Any]:
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise error("usage", f"{path} is no regular file.", str(path), "Move it away.")
        content = _parse(path.read_text("utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as problem:
        raise error("usage", f"{path} cannot be read: {problem}.", str(path), "Mend it or move it away.") from problem
    general = {name: value for name, value in content.items() if name not in TABLES}
    tables = {name: content[name] for name in TABLES if name in content}
    for name, table in tables.items():
        if not isinstance(table, dict):
            raise error("usage", f"{path}: [{name}] must be a table.", str(path))
    for section in (general, *tables.values()):
        _allow(path, section, allowed)
    return {**general, **tables.get(command, {})}


def _parse(text: str) -> dict[str, Any]:
    import tomllib  # not before there is a file: most starts have none

    return tomllib.loads(text)


def _allow(path: Path, section: dict[str, Any], allowed: dict[str, str]) -> None:
    for name in section:
        if name in allowed:
            continue
        if name.replace("_", "-") in OWN:
            message = f"{path} sets {name}: what executes or trusts is yours to say, not a file's beside a model."
            remedy = f"Take it out; give --{name.replace('_', '-')} on the command line, or put it in config.toml."
        else:
            near = difflib.get_close_matches(name, allowed, 1)
            message = f"{path} sets {name}, which is no option that a file may set."
            remedy = f"Did you mean {near[0]}?" if near else "It may set: " + ", ".join(allowed)
        raise error("usage", message, str(path), remedy)


def _value(name: str, value: Any) -> Any:
    """As click expects it: JSON text for kwargs, lists for what may be repeated."""
    if name == "kwargs" and isinstance(value, dict):
        try:
            return json.dumps(value)
        except TypeError as problem:
            raise error("usage", f"[kwargs] holds what JSON cannot say: {problem}.", "kwargs") from problem
    return [value] if name in _LISTS and isinstance(value, str) else value
