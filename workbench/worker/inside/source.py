"""The source of a module: its forward, then its class, with file and line; or why there is none.

Owns reading source through `inspect`; it imports nothing and runs nothing of the user's.
"""

from __future__ import annotations

import inspect
import linecache
import os
import types
from typing import Any

import torch
from torch import nn

from workbench.protocol.inside import SourcePart
from workbench.protocol.text import shorten

MOST_LINES = 1500
"""Lines of one part that are kept."""
_LONGEST = 400
"""Characters of one line that are kept."""


def source_of(module: nn.Module, loaded: tuple[str, str] = ("", "")) -> tuple[tuple[SourcePart, ...], str]:
    """(parts, note): the forward first; without parts, the note says why.

    `loaded`: file and sha256 of the architecture's source as it ran, so that an edit since can be said.
    """
    if isinstance(module, torch.jit.ScriptModule):
        return _script(module)
    parts = []
    kind = type(module)
    forward = inspect.unwrap(getattr(module, "forward", kind.forward))
    owner = "" if _defined_in(kind, "forward") is kind else f", of {_owner_name(kind, forward)}"
    for title, thing in (("forward" + owner, forward), (f"class {kind.__qualname__}", kind)):
        part = _part(title, thing)
        if part is not None:
            parts.append(part)
    if not parts:
        return (), f"{kind.__qualname__} has no Python source: {_why(kind, forward)}."
    return tuple(parts), _edited(parts, loaded)


def _part(title: str, thing: Any) -> SourcePart | None:
    try:
        file = inspect.getsourcefile(thing) or ""
        lines, first = inspect.getsourcelines(thing)
    except (OSError, TypeError, SyntaxError, IndexError):
        return None
    kept = tuple(shorten(line.rstrip("\n").expandtabs(4), _LONGEST) for line in lines[:MOST_LINES])
    return SourcePart(title, file, max(1, first), kept, max(0, len(lines) - MOST_LINES))


def _script(module: torch.jit.ScriptModule) -> tuple[tuple[SourcePart, ...], str]:
    try:
        text = str(module.code)
    except (AttributeError, RuntimeError):
        return (), "It is TorchScript without a forward: there is no source to show."
    lines = text.rstrip("\n").split("\n")
    kept = tuple(shorten(line, _LONGEST) for line in lines[:MOST_LINES])
    part = SourcePart("TorchScript", "", 1, kept, max(0, len(lines) - MOST_LINES))
    return (part,), "It is TorchScript, which has no Python source; this is the code that torch prints of it."


def _defined_in(kind: type, name: str) -> type | None:
    return next((base for base in kind.__mro__ if name in vars(base)), None)


def _owner_name(kind: type, forward: Any) -> str:
    if not isinstance(forward, (types.FunctionType, types.MethodType)):
        return f"a {type(forward).__name__} on the object"
    owner = _defined_in(kind, "forward")
    bound = getattr(forward, "__func__", forward)
    if owner is not None and inspect.unwrap(vars(owner)["forward"]) is bound:
        return owner.__qualname__
    return getattr(forward, "__qualname__", "the object itself")


def _why(kind: type, forward: Any) -> str:
    if not hasattr(forward, "__code__"):
        return f"its forward is a {type(forward).__name__}"
    file = forward.__code__.co_filename
    if file.startswith("<"):
        return f"it was made from a string, at {file}"
    return f"{file} is not there any more" if not os.path.exists(file) else f"{kind.__module__} keeps none"


def _edited(parts: list[SourcePart], loaded: tuple[str, str]) -> str:
    """A sentence when the file is no longer what ran."""
    import hashlib

    file, sha256 = loaded
    if not sha256 or all(os.path.abspath(part.file) != file for part in parts if part.file):
        return ""
    try:
        with open(file, "rb") as stream:
            now = hashlib.sha256(stream.read()).hexdigest()
    except OSError:
        return f"{os.path.basename(file)} cannot be read any more; these lines are remembered."
    if now == sha256:
        return ""
    linecache.checkcache(file)
    return (
        f"{os.path.basename(file)} was edited since it was loaded: these lines may not be what runs. l loads it again."
    )
