"""A capture: what a running program's model was, written down by `workbench.capture` and opened like any other model.

Owns the layout of the directory and the reading of its manifest. Standard library only: the program that is captured
has nothing else, and both sides of the engine read it.

    capture.json       what was recorded, with the sha256 of everything that is code
    code/captured.py   the source that the model's class needs, and a factory that builds the model again
    code/…             modules of the program that it imports
    object.pkl         the model's structure, where its constructor's arguments are not known
    state.pt           its state_dict
    samples/00000.pt   one call of forward each: {"workbench_call": 1, "args": …, "kwargs": …}
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass, replace
from typing import Any

from .failures import WorkbenchError, error, unreadable

MANIFEST, STATE, SAMPLES, CODE, SOURCE, OBJECT, EXTRA = (
    "capture.json", "state.pt", "samples", "code", "captured.py", "object.pkl", "extra.pt",
)  # fmt: skip
FACTORY = "captured_model"
"""Name of the function in `code/captured.py` that answers with the model."""
LEFT_OUT = "workbench_left_out"
"""Name in `code/captured.py` of {name: what it is} of what its program had and the capture has not."""
CALL = "workbench_call"
"""Key that tells a recorded call from a dict of inputs."""
SCHEMA = 1
TRUST = "CODE (Python)"
_LIMIT = 4 << 20


@dataclass(frozen=True)
class Capture:
    """The manifest of a capture."""

    directory: str
    """Absolute."""
    sha256: str
    """Of the manifest, which names the digest of every file that is code: a yes to it is a yes to them."""
    name: str
    """Class of the model."""
    source: str
    """How it can be built: "arguments", "object", or empty when it cannot."""
    why: str
    """What stood against recording it, in words; empty when nothing did."""
    samples: int
    calls: int
    """How many calls of forward there were while it was watched; not counted, 0, where `cut`."""
    notes: tuple[str, ...]
    code: dict[str, str]
    """Path inside the capture → sha256."""
    cut: bool = False
    """Its program was ended before it closed the capture, or still writes it: `samples` are those that are there, and
    the state is the one at the first of them."""
    whole_state: bool = True
    """The values of the model are there."""
    left_out: tuple[str, ...] = ()
    """Names that the model's code may use and that could not be taken along; a note says what each of them is."""


def is_capture(path: str) -> bool:
    """Whether a directory says that it is one."""
    return os.path.isfile(os.path.join(path, MANIFEST))


def read_capture(path: str) -> Capture:
    """Raises `WorkbenchError("load")` for a manifest that does not read."""
    place = os.path.join(path, MANIFEST)
    try:
        with open(place, "rb") as stream:
            data = stream.read(_LIMIT + 1)
        if len(data) > _LIMIT:
            raise ValueError(f"it has more than {_LIMIT} bytes")
        content = json.loads(data)
        if content["schema"] != SCHEMA:
            raise ValueError(f"its schema is {content['schema']!r}, and this workbench reads {SCHEMA}")
        left_out = content.get("left_out", [])
        if not isinstance(left_out, list) or not all(isinstance(one, str) for one in left_out):
            raise ValueError("what was left out is no list of names")
        digest = hashlib.sha256(data).hexdigest()
        found = Capture(os.path.abspath(path), digest, *_fields(content), left_out=tuple(left_out))
        return _as_far_as_it_got(found) if content.get("cut") is True else found
    except OSError as problem:
        raise unreadable("load", place, problem) from problem
    except (ValueError, KeyError, TypeError, RecursionError) as problem:
        reason = f"{type(problem).__name__}: {problem}" if isinstance(problem, KeyError) else str(problem)
        raise error("load", f"{place} is no manifest of a capture: {reason}.", place, "Capture it again.") from problem


def _as_far_as_it_got(found: Capture) -> Capture:
    """A capture that was not closed: what lies there counts."""
    there = os.path.join(found.directory, SAMPLES)
    samples = sum(name.endswith(".pt") for name in os.listdir(there)) if os.path.isdir(there) else 0
    values = os.path.isfile(os.path.join(found.directory, STATE))
    held = "the values are those of its first call" if values else "the values were too large to be written before"
    note = f"it was cut short: the program ended, or still runs, before the capture was closed; {held}"
    return replace(found, samples=samples, notes=(note, *found.notes), cut=True, whole_state=values)


def _fields(content: dict[str, Any]) -> tuple[str, str, str, int, int, tuple[str, ...], dict[str, str]]:
    texts = [content["name"], content["source"], content["why"], *content["notes"], *content["code"].values()]
    if not all(isinstance(one, str) for one in texts):
        raise ValueError("its fields are of other types")
    code = {str(name): digest for name, digest in content["code"].items()}
    for name in code:
        if os.path.isabs(name) or ".." in name.split("/"):
            raise ValueError(f"it names a file outside itself, {name}")
    notes = tuple(content["notes"])
    return texts[0], texts[1], texts[2], int(content["samples"]), int(content["calls"]), notes, code


def checked_code(capture: Capture) -> dict[str, bytes]:
    """Absolute path → bytes of every file that is code, as the manifest names them; there is no other below `code/`.

    Each is read once: what is returned is what was hashed, and is what has to be run. Raises `WorkbenchError("trust")`.
    """
    read: dict[str, bytes] = {}
    for name, digest in capture.code.items():
        path = os.path.join(capture.directory, name)
        try:
            with open(path, "rb") as stream:
                read[path] = stream.read()
        except OSError as problem:
            raise _changed(path, f"cannot be read ({problem.strerror})") from problem
        if hashlib.sha256(read[path]).hexdigest() != digest:
            raise _changed(path, "is no longer what was captured")
    root = os.path.join(capture.directory, CODE)
    for folder, _, names in os.walk(root):
        for one in names:
            path = os.path.join(folder, one)
            inside = os.path.relpath(path, capture.directory).replace(os.sep, "/")
            if inside not in capture.code:
                raise _changed(path, "was not there when it was captured")
    return read


def _changed(path: str, words: str) -> WorkbenchError:
    return error("trust", f"{path} {words}.", path, "Capture it again, or open the source itself: file.py:Name")
