"""What a capture holds besides its samples: the model's state, how it is built, and the manifest that names them.

Owns the writing of these into a directory. The manifest comes last: a directory without one is no capture yet.
"""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import sys
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn

from workbench.protocol.captures import CODE, EXTRA, FACTORY, MANIFEST, OBJECT, SCHEMA, SOURCE, STATE

from .objects import FROM_ARGUMENTS, FROM_OBJECT, Structure, kept_values
from .place import written
from .slices import Slice
from .source import program_name
from .values import spell

WHOLE = (64 << 20, 64 << 20, 1_000_000)
"""What one value of the program may hold at the end, as in `Room`."""
Tell = Callable[[str], None]
"""Says what went wrong with the model, which spoils no capture of its samples."""


def write_contents(
    place: str,
    model: nn.Module,
    kwargs: dict[str, Any] | None,
    counts: tuple[int, int],
    notes: Sequence[str],
    tell: Tell,
    cut: bool = False,
    values: bool = True,
    without: str = "",
    room: tuple[int, int, int] = WHOLE,
) -> None:
    """Write all of it into `place`. Raises whatever the disk and the model's own parts raise.

    counts: samples and calls. cut: the recording has not ended, so that whoever opens it is told. values: the state
    too, which takes as long as the model is large. without: why the model's structure is not to be written. room: what
    one value of the program may hold, as in `Room`.
    """
    if values:
        torch.save(_plain_state(model), os.path.join(place, STATE))
    piece = Slice(spell)
    reasons: list[str] = []
    source, factory = _architecture(place, model, kwargs, piece, reasons, without, room)
    missing = [_missing(name, what) for name, what in piece.left_out.items()]
    for reason in [*reasons, *missing]:
        tell(reason)
    kind = type(model).__name__
    text = f'"""{kind}, as it was in {program_name()}. Open the capture, not this file."""\n\n'
    files = {SOURCE: text + piece.text + factory, **piece.copies.files}
    for name, content in files.items():
        path = os.path.join(place, CODE, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as stream:
            stream.write(content)
    code = [f"{CODE}/{name}" for name in files] + [OBJECT] * os.path.exists(os.path.join(place, OBJECT))
    manifest = {
        "schema": SCHEMA,
        "name": kind,
        "source": source,
        "why": reasons[-1] if reasons else "",
        "samples": counts[0],
        "calls": counts[1],
        "notes": [*missing, *piece.copies.notes, *notes],
        "left_out": list(piece.left_out),
        "code": {name: _digest(os.path.join(place, name)) for name in code},
        "torch": torch.__version__,
        "python": sys.version.split()[0],
        "files": written(place),
        **({"cut": True} if cut else {}),
    }
    with open(os.path.join(place, f"{MANIFEST}.part"), "w", encoding="utf-8") as stream:
        json.dump(manifest, stream, indent=1)
    os.replace(os.path.join(place, f"{MANIFEST}.part"), os.path.join(place, MANIFEST))


def _architecture(
    place: str,
    model: nn.Module,
    kwargs: dict[str, Any] | None,
    piece: Slice,
    reasons: list[str],
    without: str,
    room: tuple[int, int, int],
) -> tuple[str, str]:
    """(how it can be built, text of its factory); the source that it needs goes into `piece`, why it cannot be into
    `reasons`."""
    if without:
        reasons.append(f"the model's structure is not written down: {without}")
        try:
            piece.refer(type(model))
        except ValueError as problem:
            reasons.insert(0, f"its source is not here either: {problem}")
        return "", ""
    try:
        if kwargs is None:
            return "object", _from_object(place, model, piece, room)
        return "arguments", _from_arguments(place, model, kwargs, piece, room)
    except Exception as problem:  # noqa: BLE001 (parts of the model run their own code when they are pickled)
        what = str(problem) if isinstance(problem, (pickle.PicklingError, ValueError)) else _words(problem)
        if kwargs is None:
            reasons.append(f"the model's structure cannot be written down: {what}. "
                           "Give the arguments of its constructor: capture.watch(…, kwargs={…})")  # fmt: skip
        else:
            reasons.append(f"the model cannot be made again: {what}")
    return "", ""


def unwritable(kwargs: dict[str, Any]) -> str:
    """Which of the arguments of a constructor cannot be written down, and what they are; empty when all can."""
    if not isinstance(kwargs, dict):
        return f"kwargs is a {type(kwargs).__name__}, and no dict of names and values"
    piece = Slice(spell)
    for name, value in kwargs.items():
        try:
            spell(value, piece)
        except ValueError:
            piece.pending[str(name)] = value
    given = set(piece.pending) & {str(name) for name in kwargs}
    kept_values(nn.Module(), piece, WHOLE)
    return "; ".join(f"kwargs: {name} is {what}" for name, what in piece.left_out.items() if name in given)


def _from_object(place: str, model: nn.Module, piece: Slice, room: tuple[int, int, int]) -> str:
    Structure(model, piece).run(model)  # what it leads to, values of the program among it
    values = kept_values(model, piece, room)
    return _written(place, Structure(model, piece), (model, values), "model")


def _from_arguments(
    place: str, model: nn.Module, kwargs: dict[str, Any], piece: Slice, room: tuple[int, int, int]
) -> str:
    made = piece.refer(type(model))
    try:
        given = ", ".join(f"{name!r}: {spell(value, piece)}" for name, value in kwargs.items())
        call = f"{made}(**{{{given}}}).train({model.training})"
    except ValueError:
        piece.pending["captured_arguments"] = kwargs
        call = f"{made}(**captured_arguments).train({model.training})"
    values = kept_values(nn.Module(), piece, room)
    if "captured_arguments" in piece.left_out:
        raise ValueError(f"kwargs: {piece.left_out.pop('captured_arguments')}")
    if not values:
        return FROM_ARGUMENTS.format(factory=FACTORY, model=call)
    return _written(place, Structure(nn.Module(), piece), (None, values), call)


def _written(place: str, structure: Structure, held: Any, model: str) -> str:
    """Write the structure, and answer with the text of the factory that reads it."""
    data = structure.run(held)
    with open(os.path.join(place, OBJECT), "wb") as stream:
        stream.write(data)
    if structure.extra:
        torch.save(structure.extra, os.path.join(place, EXTRA))
    digest = hashlib.sha256(data).hexdigest()
    names = {"factory": FACTORY, "object": OBJECT, "extra": EXTRA, "sha256": digest, "model": model}
    return FROM_OBJECT.format(extras=bool(structure.extra), **names)


def _missing(name: str, what: str) -> str:
    return (
        f"{name} is not in the capture, and a forward that uses it will fail there: it is {what}. "
        "Define it in a module that the program imports"
    )


def _words(problem: Exception) -> str:
    return f"{type(problem).__name__}: {problem}"


def _plain_state(model: nn.Module) -> dict[str, Any]:
    """The state_dict on the CPU, with the versions that torch keeps beside it: quantised modules read them."""
    state = model.state_dict()
    for name, one in list(state.items()):
        state[name] = one.detach().cpu() if isinstance(one, torch.Tensor) else one
    return state


def _digest(path: str) -> str:
    with open(path, "rb") as stream:
        return hashlib.sha256(stream.read()).hexdigest()
