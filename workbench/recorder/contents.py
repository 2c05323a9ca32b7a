"""What a capture holds besides its samples: the model's state, how it is built, and the manifest that names them.

Owns the writing of these into a directory. The manifest comes last: a directory without one is no capture yet.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn

from workbench.protocol.captures import CODE, EXTRA, FACTORY, MANIFEST, OBJECT, SCHEMA, SOURCE, STATE

from .objects import FROM_ARGUMENTS, FROM_OBJECT, Structure
from .place import written
from .slices import Slice, program_name
from .source import is_typed

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
) -> None:
    """Write all of it into `place`. Raises whatever the disk and the model's own parts raise.

    counts: samples and calls. cut: the recording has not ended, so that whoever opens it is told. values: the state
    too, which takes as long as the model is large. without: why the model's structure is not to be written.
    """
    if values:
        state = {name: _plain_tensor(one) for name, one in model.state_dict().items()}
        torch.save(state, os.path.join(place, STATE))
    piece = Slice()
    reasons: list[str] = []
    source, factory = _architecture(place, model, kwargs, piece, reasons, without)
    for reason in reasons:
        tell(reason)
    kind = type(model).__name__
    text = f'"""{kind}, as it was in {program_name()}. Open the capture, not this file."""\n\n'
    files = {SOURCE: text + piece.text + factory, **piece.files}
    for name, content in files.items():
        path = os.path.join(place, CODE, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as stream:
            stream.write(content)
    code = [f"{CODE}/{name}" for name in files] + [OBJECT] * (source == "object")
    manifest = {
        "schema": SCHEMA,
        "name": kind,
        "source": source,
        "why": reasons[-1] if reasons else "",
        "samples": counts[0],
        "calls": counts[1],
        "notes": [*piece.notes, *notes],
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
    place: str, model: nn.Module, kwargs: dict[str, Any] | None, piece: Slice, reasons: list[str], without: str
) -> tuple[str, str]:
    """(how it can be built, text of its factory); the source that it needs goes into `piece`, why it cannot be into
    `reasons`."""
    if kwargs is not None:
        if piece.add(type(model)) or type(model).__module__ != "__main__":
            words = {"factory": FACTORY, "name": _name_in(piece, type(model)), "training": model.training}
            return "arguments", FROM_ARGUMENTS.format(kwargs=kwargs, **words)
        return "", ""
    if without:
        reasons.append(f"the model's structure is not written down: {without}")
        piece.add(type(model))
        return "", ""
    structure = Structure(model)
    try:
        data = structure.run()
    except Exception as problem:  # noqa: BLE001 (parts of the model run their own code when they are pickled)
        what = f"the model's structure cannot be written down: {type(problem).__name__}: {problem}"
        reasons.append(f"{what}. Give the arguments of its constructor: capture.watch(…, kwargs={{…}})")
        piece.add(type(model))
        return "", ""
    found = [piece.add(root) for root in structure.roots.values()]
    if not all(found):
        reasons.append("; ".join(piece.notes))
        return "", ""
    with open(os.path.join(place, OBJECT), "wb") as stream:
        stream.write(data)
    if structure.extra:
        torch.save(structure.extra, os.path.join(place, EXTRA))
    digest = hashlib.sha256(data).hexdigest()
    names = {"factory": FACTORY, "object": OBJECT, "extra": EXTRA, "sha256": digest}
    return "object", FROM_OBJECT.format(extras=bool(structure.extra), **names)


def _name_in(piece: Slice, kind: type) -> str:
    """How the class is called in `captured.py`, importing it there when it comes from a module."""
    if not is_typed(kind.__module__):
        piece.use(kind)
    return kind.__qualname__.split("<locals>.")[-1]


def _plain_tensor(value: Any) -> Any:
    return value.detach().cpu() if isinstance(value, torch.Tensor) else value


def _digest(path: str) -> str:
    with open(path, "rb") as stream:
        return hashlib.sha256(stream.read()).hexdigest()
