"""Constructor arguments as a person types them. Pure."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Sequence
from typing import Any

from workbench.client.arguments import arguments_in
from workbench.client.spec_edits import split_specs
from workbench.protocol.failures import error

INPUTS = (".safetensors", ".npz", ".npy", ".pt", ".json", ".png", ".jpg")
"""Suffixes of files of inputs that are offered while a path is typed."""

_SPEC = re.compile(r"[^\W\d][^=/]*=|(torch\.)?[a-z]\w*\[")


def parse_arguments(text: str) -> dict[str, Any]:
    """`{"width": 16}`, `width=16 name=small` or `@config.json`; a value that is not JSON is a string.

    Raises `WorkbenchError("usage")` in words that name the part that was not understood.
    """
    text = text.strip()
    if not text:
        return {}
    if text.startswith("@"):
        return arguments_in(text[1:])
    if text.startswith("{"):
        try:
            found = json.loads(text)
        except ValueError as problem:
            raise error(
                "usage", f"The arguments are not JSON: {problem}.", "arguments", 'Like {"width": 16}.'
            ) from problem
        return dict(found)
    try:
        parts = shlex.split(text)
    except ValueError as problem:
        raise error("usage", f"The arguments cannot be read: {problem}.", "arguments") from problem
    arguments: dict[str, Any] = {}
    for part in parts:
        name, equals, value = part.partition("=")
        if not equals or not name.isidentifier():
            raise error("usage", f"{part!r} is no argument.", "arguments", "Like width=16 deep=true, or as JSON.")
        if not value:
            raise error("usage", f"{name} has no value yet.", "arguments", f"Like {name}=16; an empty text wants JSON.")
        try:
            arguments[name] = json.loads(value)
        except ValueError:
            arguments[name] = value
    return arguments


def needed(arguments: Sequence[str]) -> list[str]:
    """Those of a constructor's arguments, as written, that have no default: "width: int"."""
    return [one for one in arguments if "=" not in one and not one.startswith("*") and one != "/"]


def optional(arguments: Sequence[str]) -> list[str]:
    """The others: "depth: int = 2", "**options"."""
    return [one for one in arguments if one not in ("*", "/") and one not in needed(arguments)]


def asking(text: str, missing: Sequence[str]) -> str:
    """What was typed as arguments, and behind it a place for each that is missing: "depth=2 width="."""
    names = [one.partition(":")[0].strip() for one in missing]
    if not text.lstrip().startswith(("{", "@")):
        return " ".join([*text.split(), *(f"{name}=" for name in names)])
    return text


def print_arguments(arguments: dict[str, Any]) -> str:
    """The inverse of `parse_arguments`."""
    return json.dumps(arguments) if arguments else ""


def parse_inputs(text: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """(specs, files) of what stands in the field of the inputs: a word that is no spec is a file or a directory."""
    words = split_specs(text)
    return tuple(word for word in words if _SPEC.match(word)), tuple(word for word in words if not _SPEC.match(word))
