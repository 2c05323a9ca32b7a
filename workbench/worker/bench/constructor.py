"""What a constructor takes, and what is wrong with the arguments that it is given.

Owns the words about --kwargs; the constructor is never called here.
"""

from __future__ import annotations

import difflib
import importlib
import inspect
import json
import os
from typing import Any

from workbench.protocol.failures import error
from workbench.protocol.model import Recipe
from workbench.worker.bench.target import Resolved
from workbench.worker.bench.words import some

_BESIDE = ("config.json", "config.toml")
"""Names of configurations that are looked for beside a model; those of the model's own name come first."""
_LARGEST = 1 << 20
"""Bytes of a configuration that is looked at."""


def check_arguments(resolved: Resolved, recipe: Recipe) -> None:
    """Whether the constructor takes what it is given, before it is called. Raises `WorkbenchError("model")`."""
    try:
        signature = inspect.signature(resolved.object)
    except (TypeError, ValueError):
        return
    try:
        signature.bind(**recipe.kwargs)
    except TypeError as problem:
        parameters = list(signature.parameters.values())
        takes = ", ".join(map(_parameter_text, parameters)) or "nothing"
        missing = [
            parameter
            for parameter in parameters
            if parameter.default is inspect.Parameter.empty
            and parameter.kind not in (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
            and parameter.name not in recipe.kwargs
        ]
        strange = [name for name in recipe.kwargs if name not in signature.parameters]
        names = some([parameter.name for parameter in missing], 6)
        what = f"{resolved.name} wants {names}" if missing else f"{resolved.name} does not fit its arguments"
        asks = tuple(_parameter_text(parameter) for parameter in missing)
        example = ", ".join(f'"{one.partition(":")[0]}": <{one.partition(": ")[2] or "value"}>' for one in asks) or "…"
        remedy = f"Give them: --kwargs '{{{example}}}'" if missing else "Leave them out of --kwargs."
        if strange:
            near = difflib.get_close_matches(strange[0], list(signature.parameters), 1)
            what = f"{resolved.name} has no argument {some(strange, 6)}"
            remedy = f"Did you mean {near[0]}?" if near else _table(recipe, strange, signature) or remedy
        elif missing and (beside := _beside(resolved.file, [one.name for one in missing])):
            name = os.path.basename(beside).partition("#")[0]
            remedy = f"{name} beside it names {'it' if len(missing) == 1 else 'them'}: --kwargs @{beside}"
        message = f"{what}. It takes ({takes})."
        raise error("model", message, "--kwargs", remedy, str(problem), asks=asks) from problem


def _parameter_text(parameter: inspect.Parameter) -> str:
    """ "width: int = 16": as written, without the quotes of postponed annotations."""
    if not isinstance(parameter.annotation, str):
        return str(parameter)
    bare = str(parameter.replace(annotation=inspect.Parameter.empty))
    name, equals, default = bare.partition("=")
    return f"{name}: {parameter.annotation}" + (f" = {default}" if equals else "")


def mistyped(resolved: Resolved, recipe: Recipe) -> str:
    """What to do about a text where the signature says that a number belongs; empty when there is none."""
    try:
        parameters = inspect.signature(resolved.object).parameters
    except (TypeError, ValueError):
        return ""
    for name, value in recipe.kwargs.items():
        wants = getattr(parameters.get(name), "annotation", "")
        kind = wants if isinstance(wants, str) else getattr(wants, "__name__", "")
        if isinstance(value, str) and kind in ("int", "float", "bool") and (number := _plain(value)) is not None:
            written = json.dumps({**recipe.kwargs, name: number}, default=str)
            return f"{name} is the text {value!r}, and the signature says {kind}: --kwargs '{written}'"
    return ""


def _plain(text: str) -> Any:
    """The number or truth that a text reads as; None for any other."""
    try:
        found = json.loads(text)
    except ValueError:
        return None
    return found if isinstance(found, (int, float)) else None


def _table(recipe: Recipe, strange: list[str], signature: inspect.Signature) -> str:
    """What to do where an argument that there is not is a table of those that there are."""
    for name in strange:
        value = recipe.kwargs[name]
        if isinstance(value, dict) and value and set(value) <= set(signature.parameters):
            return f"Its table {name} has them: --kwargs @FILE#{name}"
    return ""


def _beside(file: str, names: list[str]) -> str:
    """The configuration beside the model's file that has all of these names, as it is given to --kwargs, with the table
    that they stand in: "net/config.toml#model"; empty where there is none."""
    if not file:
        return ""
    directory, stem = os.path.split(os.path.splitext(file)[0])
    for name in (f"{stem}.json", f"{stem}.toml", *_BESIDE):
        path = os.path.join(directory, name)
        found = _configuration(path)
        if found is None:
            continue
        shown = path if os.path.relpath(path).startswith(os.pardir) else os.path.relpath(path)
        tables = {shown: found} | {f"{shown}#{key}": table for key, table in found.items() if isinstance(table, dict)}
        for where, table in tables.items():
            if set(names) <= set(table):
                return where
    return ""


def _configuration(path: str) -> dict[str, Any] | None:
    """The table in a JSON or TOML file; None where it is none, or cannot be read: it only betters the words."""
    try:
        if os.path.getsize(path) > _LARGEST or not os.path.isfile(path):
            return None
        with open(path, encoding="utf-8") as stream:
            text = stream.read()
        # the standard library reads TOML from Python 3.11 on, and a worker may be older
        reader = importlib.import_module("tomllib") if path.endswith(".toml") else json
        found = reader.loads(text)
    except (OSError, ValueError, RecursionError, ImportError):
        return None
    return found if isinstance(found, dict) else None
