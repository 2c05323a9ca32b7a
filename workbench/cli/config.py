"""Options from files: `workbench.toml` or a pyproject.toml beside the model, and the user's own configuration.

What a file beside a model may not say: anything that executes, trusts, or writes. Whoever sends a model could
otherwise decide what runs here. So each file has a list of what it may say, and everything else is an error.
"""

from __future__ import annotations

import difflib
import json
from pathlib import Path
from typing import Any

from platformdirs import user_config_path

from workbench.client.policy import KEYS, is_key
from workbench.client.settings import beside, read
from workbench.protocol.failures import error

BESIDE = {
    "kwargs": "kwargs",
    "weights": "weights",
    "input": "inputs",
    "inputs": "inputs_files",
    "mode": "modes",
    "grad": "grad",
    "seed": "seed",
    "rng": "rng",
    "dtype": "dtype",
    "device": "device",
    "threads": "threads",
    "tolerance": "tolerance",
    "timeout": "timeout",
    "init-seed": "init_seed",
    "repair": "repair",
    "search": "search",
    "dtypes": "dtypes",
    "compile": "compile_too",
    "rounds": "rounds",
    "repeat": "repeat",
    "keep-outputs": "keep_outputs",
    "only": "only",
    "baseline": "baseline",
    "skip": "skip",
    "theme": "theme",
    "slow-link": "slow_link",
    "ascii": "ascii_only",
}
"""Long names of the options that a file beside a model may set, and click's names for them."""
OWN = {**BESIDE, "python": "python", "trust": "digests", "allow-code": "allow_code"}
"""The same for the user's own configuration."""
TABLES = ("app", "run", "check", "compare", "matrix", "export", "verify")
"""Commands that may have a table of their own."""
ASKED = ("metric", "runner", "runner-shell", "runner-timeout", "out", "keep", "force", "junit", "markdown", "yes")
"""Long names of options that execute or write, which nobody but the command line sets."""

_PATHS = ("weights", "inputs", "baseline")
_LISTS = ("input", "inputs", "mode", "trust", "only", "skip")


def defaults(target: str, command: str) -> dict[str, Any]:
    """Defaults for click, by its parameter names. Raises `WorkbenchError("usage")` for a file that cannot be used.

    Every file holds options by their long names, at the top level for every command or in a table of one command's
    name; `workbench.toml` counts more than a pyproject.toml, both more than the user's own configuration, and a
    command's table more than the top level. What a file beside a model says of its policy is `client.policy`'s.
    """
    own = user_config_path("workbench") / "config.toml"
    found = _options(own, read(own) or {}, command, OWN)
    for settings in beside(target):
        options = _options(settings.path, _without_policy(settings.content), command, BESIDE)
        for name in _PATHS:
            if isinstance(options.get(name), str):
                options[name] = str(settings.path.parent / options[name])
            elif isinstance(options.get(name), list):
                options[name] = [str(settings.path.parent / str(one)) for one in options[name]]
        found |= options
    return {OWN[name]: _value(name, value) for name, value in found.items()}


def _without_policy(content: dict[str, Any]) -> dict[str, Any]:
    """The options alone, of the top level and of the command whose policy it is."""
    kept = {name: value for name, value in content.items() if not is_key(name)}
    if isinstance(kept.get("check"), dict):
        kept["check"] = {name: value for name, value in kept["check"].items() if not is_key(name)}
    return kept


def _options(path: Path, content: dict[str, Any], command: str, allowed: dict[str, str]) -> dict[str, Any]:
    general = {name: value for name, value in content.items() if name not in TABLES}
    tables = {name: content[name] for name in TABLES if name in content}
    for name, table in tables.items():
        if not isinstance(table, dict):
            raise error("usage", f"{path}: [{name}] must be a table.", str(path))
    for section in (general, *tables.values()):
        _allow(path, section, allowed)
    return {**general, **tables.get(command, {})}


def _allow(path: Path, section: dict[str, Any], allowed: dict[str, str]) -> None:
    for name in section:
        if name in allowed:
            continue
        if name.replace("_", "-") in OWN:
            message = f"{path} sets {name}: what executes or trusts is yours to say, not a file's beside a model."
            remedy = f"Take it out; give --{name.replace('_', '-')} on the command line, or put it in config.toml."
        elif name.replace("_", "-") in ASKED:
            message = f"{path} sets {name}: what executes or writes is said on the command line alone."
            remedy = f"Take it out; give --{name.replace('_', '-')} there."
        elif is_key(name):
            message = f"{path} sets {name}, which is a model's policy."
            remedy = "Put it beside that model: in workbench.toml, or under [tool.workbench] in its pyproject.toml."
        else:
            known = (*allowed, *KEYS) if allowed is BESIDE else tuple(allowed)
            near = difflib.get_close_matches(name, known, 1)
            message = f"{path} sets {name}, which is no option that a file may set."
            remedy = f"Did you mean {near[0]}?" if near else "It may set: " + ", ".join(known)
        raise error("usage", message, str(path), remedy)


def _value(name: str, value: Any) -> Any:
    """As click expects it: JSON text for kwargs, lists for what may be repeated."""
    if name == "kwargs" and isinstance(value, dict):
        try:
            return json.dumps(value)
        except TypeError as problem:
            raise error("usage", f"[kwargs] holds what JSON cannot say: {problem}.", "kwargs") from problem
    return [value] if name in _LISTS and isinstance(value, str) else value
