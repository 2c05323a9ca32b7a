"""Constructor arguments from a file beside the model: `@config.json`, `@config.toml`, `@config.toml#model`."""

from __future__ import annotations

import json
import os
import tomllib
from typing import Any

from workbench.protocol.failures import error


def arguments_in(path: str) -> dict[str, Any]:
    """The table of a JSON or TOML file, or the one under `#key` in it. Raises `WorkbenchError("usage")`."""
    file, _, key = path.partition("#")
    where = f"@{path}"
    try:
        with open(os.path.expanduser(file), "rb") as stream:
            data = stream.read()
        content: Any = tomllib.loads(data.decode()) if file.endswith(".toml") else json.loads(data)
    except OSError as problem:
        raise error("usage", f"{file} cannot be read: {problem.strerror}.", where, "Check the path.") from problem
    except (ValueError, RecursionError) as problem:
        kind = "TOML" if file.endswith(".toml") else "JSON"
        raise error("usage", f"{file} is not {kind}: {problem}.", where) from problem
    for part in key.split(".") if key else ():
        content = content.get(part) if isinstance(content, dict) else None
    if not isinstance(content, dict):
        what = f"has no table {key!r}" if key else "is no table of names and values"
        raise error("usage", f"{file} {what}.", where, "Name a table of arguments: @config.toml#model")
    return content
