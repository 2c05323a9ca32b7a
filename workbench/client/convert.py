"""A pickled module is explained, and converted only after a yes: the order that both faces keep.

Owns the words on why such a file is fragile, and who may have one loaded. Nothing here runs code of the file.
"""

from __future__ import annotations

import os

from workbench.protocol.artifacts import Fingerprint
from workbench.protocol.failures import error
from workbench.protocol.messages import Inspect

from .session import Session

FRAGILE = (
    "It keeps the names of its classes and not their source: it loads only where that very source can be imported, "
    "breaks when a class is moved, renamed or changed, and loading it runs what it names with all your rights."
)
BECOMES = (
    "Converted it is a file of numbers (weights.safetensors), which runs nothing, and the architecture as source "
    "(architecture.py), which you can read. For that it has to be loaded once, in a process of its own."
)
_SHOWN = 12
"""Names that are printed."""


async def pickled(session: Session, path: str) -> Fingerprint:
    """What a yes would be a yes to. Raises `WorkbenchError("usage")` for a file that is no pickle of objects."""
    fingerprint = await session.fingerprint(path)
    if fingerprint.kind == "pickle":
        return fingerprint
    file = os.path.basename(path)
    if fingerprint.kind in ("state_dict", "safetensors", "index"):
        words, remedy = f"{file} holds numbers alone: there is nothing to convert.", f"Open it with --weights {path}"
    else:
        words, remedy = f"{file} is no pickled module: its kind is {fingerprint.kind}.", f"workbench inspect {path}"
    raise error("usage", words, path, remedy)


async def explained(session: Session, path: str) -> list[str]:
    """What the file is, what loading it would import, why it is fragile: a paragraph each, found without running it."""
    found = await session.request(Inspect(path))
    wanted = found.unsafe_globals
    names = ", ".join(wanted[:_SHOWN]) + (f" and {len(wanted) - _SHOWN} more" if len(wanted) > _SHOWN else "")
    return [f"{os.path.basename(path)} is a pickled module. Loading it imports {names or 'what it names'}.", FRAGILE]
