"""What came of converting a pickled module, in lines with a style each. Pure: a record in, words out."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence

from workbench.protocol.convert import Converted

from .tree import counted

SHOWN = 20
"""Differences and notes that are listed."""


def told(found: Converted) -> list[tuple[str, str]]:
    """(style, line): "bold", "dim", "green", "yellow" or "" as rich calls them."""
    lines = [("", f"weights: {found.weights}, {counted(found.tensors)}; loading them runs nothing")]
    if found.whole:
        words = f"architecture: {found.architecture} makes {found.name} as it was pickled"
        lines.insert(0, ("green", words))
    elif found.architecture:
        but = "but not quite as it was" if found.differences else "but not all of it could be compared"
        lines.insert(0, ("yellow", f"architecture: {found.architecture} makes {found.name}, {but}"))
    elif found.name:
        lines.append(("yellow", f"no architecture: {found.name} could not be written as source: {found.why}"))
    else:
        lines.append(("yellow", f"no architecture: {found.why}"))
    if found.sources:
        lines.append(("", f"source beside it: {', '.join(found.sources)}"))
    lines += _listed("differs: ", found.differences, "yellow")
    lines += _listed("nobody can tell whether it is the same: ", found.uncompared, "yellow")
    lines += _listed("", found.notes, "dim")
    return lines


def opening(found: Converted, command: Sequence[str] = ()) -> str:
    """The command that opens what was written; where an argument is missing, `command` with what would complete it."""
    if found.architecture:
        return shlex.join(["workbench", found.architecture, "--weights", found.weights])
    if found.asks and command:
        names = {one.partition(":")[0]: f"<{one.partition(': ')[2] or 'value'}>" for one in found.asks}
        return f"{' '.join(command)} --yes --kwargs '{json.dumps(names)}'"
    return shlex.join(["workbench", "path/file.py:Name", "--weights", found.weights])


def _listed(title: str, lines: Sequence[str], style: str) -> list[tuple[str, str]]:
    shown = [(style, f"{title}{line}") for line in lines[:SHOWN]]
    return shown + ([(style, f"… and {len(lines) - SHOWN} more")] if len(lines) > SHOWN else [])
