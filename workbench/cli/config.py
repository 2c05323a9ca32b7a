"""Options from files: `workbench.toml` beside the model, and the user's own configuration.

What a file beside a model may not say: anything that executes or trusts. Whoever sends a model could
otherwise decide what runs here.
"""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

from platformdirs import user_config_path

from workbench.protocol.failures import error

FORBIDDEN = ("python", "trust", "allow-code")
_PATHS = ("weights", "inputs")


def defaults(target: str, command: str) -> dict[str, Any]:
    """Defaults for click, by parameter name. Raises `WorkbenchError("usage")` for a file that cannot be used.

    Both files hold options by their long names, at the top level for every command or in a table of one
    command's name; the file beside the model counts more, the command's table more than the top level.
    """
    own = _read(user_config_path("workbench") / "config.toml", command)
    file, separator, _ = target.rpartition(":")
    folder = Path(file).parent if separator and file.endswith(".py") else Path()
    beside = folder / "workbench.toml"
    found = _read(beside, command)
    for name in FORBIDDEN:
        if name in found:
            raise error(
                "usage",
                f"{beside} sets {name}: what executes or trusts is yours to say, not a file's beside a model.",
                str(beside),
                f"Take it out; give --{name} on the command line, or put it in your own config.toml.",
            )
    for name in _PATHS:
        if isinstance(found.get(name), str):
            found[name] = str(beside.parent / found[name])
    return {_parameter(name): _value(name, value) for name, value in {**own, **found}.items()}


def _read(path: Path, command: str) -> dict[str, Any]:
    try:
        content = tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as problem:
        raise error("usage", f"{path} cannot be read: {problem}.", str(path), "Mend it or move it away.") from problem
    general = {name: value for name, value in content.items() if not isinstance(value, dict) or name == "kwargs"}
    special = content.get(command, {})
    if not isinstance(special, dict):
        raise error("usage", f"{path}: [{command}] must be a table.", str(path))
    return {**general, **special}


def _parameter(name: str) -> str:
    special = {"input": "inputs", "inputs": "inputs_file", "mode": "modes", "json": "as_json"}
    return special.get(name, name.replace("-", "_"))


def _value(name: str, value: Any) -> Any:
    """As click expects it: JSON text for kwargs, lists for what may be repeated."""
    if name == "kwargs" and isinstance(value, dict):
        return json.dumps(value)
    return [value] if name in ("input", "mode", "trust") and isinstance(value, str) else value
