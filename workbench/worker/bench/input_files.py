"""Files that hold inputs: which there are, and what is in one. Data only: nothing of a file is ever run.

Owns `InputFile`, the option --inputs of the command line, and the reading of one file. Which sample is taken, and how
one fits forward, is `samples.py`'s business.
"""

from __future__ import annotations

import json
import os
import pickle
import re
import zipfile
from dataclasses import dataclass, replace
from typing import Any

import torch

from workbench.protocol.failures import WorkbenchError, error, unreadable
from workbench.worker import tensorfile
from workbench.worker.bench.failing import is_cut_short
from workbench.worker.bench.image_files import SUFFIXES as PICTURES
from workbench.worker.bench.image_files import load_image
from workbench.worker.bench.numpy_files import load_npy, load_npz
from workbench.worker.bench.words import closest

SUFFIXES = (".safetensors", ".npz", ".npy", ".pt", ".pth", ".json", *PICTURES)
_MOST_FILES = 100_000
_JSON_LIMIT = 1 << 30
_REMEDY = "Save a dict of name → tensor, with torch.save or as .safetensors."
_OPTIONS = "samples, rows:8 (a call of so many rows), size:224 or size:224x160 and imagenet (pictures)"


@dataclass(frozen=True)
class InputFile:
    """One file, and how it is to be taken."""

    path: str
    split: str = ""
    """"samples": the first dimension counts samples and is taken off; "rows": it counts rows; empty: one whole."""
    rows: int = 1
    """Of one call, for "rows"."""
    size: tuple[int, int] | None = None
    """(height, width) of pictures."""
    imagenet: bool = False


def find_files(texts: tuple[str, ...], directory: str) -> list[InputFile]:
    """The files that --inputs names, those of a directory in the order of their names.

    Raises `WorkbenchError("inputs")` for one that is not there, or options that do not read.
    """
    found: list[InputFile] = []
    for text in texts:
        one = _named(text, directory)
        if os.path.isdir(one.path):
            found += [replace(one, path=path) for path in _inside(one.path)]
        elif os.path.isfile(one.path):
            found.append(one)
        else:  # opening a FIFO would wait for ever
            exists = os.path.lexists(one.path)
            what = f"{one.path} is no regular file." if exists else f"There is no file {one.path}."
            folder, name = os.path.split(one.path)
            near = closest(name, os.listdir(folder or ".")) if not exists and os.path.isdir(folder or ".") else ""
            usual = "Name a file of tensors or a picture, or a directory of them."
            raise error("inputs", what, "--inputs", near or usual)
    return found


def read(one: InputFile) -> Any:
    """What is in the file: tensors in dicts, lists and tuples. Raises `WorkbenchError` ("inputs", "memory")."""
    suffix = os.path.splitext(one.path)[1].lower()
    try:
        if suffix == ".safetensors":
            return tensorfile.load(one.path)
        if suffix == ".npy":
            return load_npy(one.path)
        if suffix == ".npz":
            arrays = load_npz(one.path)
            by_place = list(arrays) == [f"arr_{place}" for place in range(len(arrays))]  # as savez(a, b) names them
            return list(arrays.values()) if by_place else arrays
        if suffix == ".json":
            return _read_json(one.path)
        if suffix in PICTURES:
            return load_image(one.path, one.size, one.imagenet)
        return _load_torch(one.path)
    except (WorkbenchError, MemoryError):
        raise
    except PermissionError as problem:
        raise unreadable("inputs", one.path, problem) from problem
    except Exception as problem:  # (loaders raise more than fifteen kinds of exception)
        reason = str(problem).split("\n")[0] or type(problem).__name__
        reason = "it is cut off, or empty" if is_cut_short(problem) else reason
        message = f"The inputs in {one.path} do not load: {reason.rstrip('.')}."
        raise error("inputs", message, one.path, _REMEDY, str(problem)) from problem


def _named(text: str, directory: str) -> InputFile:
    """`FILE` or `FILE#option,option`; a file whose very name has a # in it is meant as it is."""
    whole = os.path.join(directory, os.path.expanduser(text))
    name, mark, written = text.rpartition("#")
    if not mark or os.path.lexists(whole):
        return InputFile(whole)
    found = InputFile(os.path.join(directory, os.path.expanduser(name)))
    for option in (part.strip() for part in written.split(",")):
        if option == "samples":
            found = replace(found, split="samples")
        elif option == "imagenet":
            found = replace(found, imagenet=True)
        elif match := re.fullmatch(r"rows(?::([1-9]\d{0,8}))?", option):
            found = replace(found, split="rows", rows=int(match[1] or 1))
        elif match := re.fullmatch(r"size:([1-9]\d{0,4})(?:x([1-9]\d{0,4}))?", option):
            found = replace(found, size=(int(match[1]), int(match[2] or match[1])))
        else:
            message = f"--inputs {text}: after the # stands {option or 'nothing'}, which is none of its options."
            raise error("inputs", message, "--inputs", f"There are {_OPTIONS}.")
    return found


def _inside(directory: str) -> list[str]:
    """The files of a directory that can hold inputs, x2 before x10."""
    names = [name for name in os.listdir(directory) if name.lower().endswith(SUFFIXES) and not name.startswith(".")]
    paths = [os.path.join(directory, name) for name in sorted(names, key=_natural)]
    paths = [path for path in paths if os.path.isfile(path)]
    if not paths or len(paths) > _MOST_FILES:
        what = "no file" if not paths else f"{len(paths)} files"
        message = f"{directory} holds {what} that could be inputs."
        raise error("inputs", message, "--inputs", f"It may hold {', '.join(SUFFIXES)}; at most {_MOST_FILES}.")
    return paths


def _natural(name: str) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", name)]


def _load_torch(path: str) -> Any:
    """What torch.save wrote. Raises ValueError in plain words, or whatever torch.load raises."""
    with open(path, "rb") as stream:
        zipped = stream.read(2) == b"PK"
    if zipped:
        with zipfile.ZipFile(path) as archive:
            if any(member.compress_type != zipfile.ZIP_STORED for member in archive.infolist()):
                raise ValueError("it is a compressed archive, which torch.save never writes")
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as problem:
        if "weights_only" not in str(problem):
            raise
        raise ValueError("it holds objects of Python, whose loading would run code; only tensors are read") from problem


def _read_json(path: str) -> Any:
    if os.path.getsize(path) > _JSON_LIMIT:
        raise ValueError(f"{os.path.getsize(path)} bytes of JSON are too many: use .safetensors or .npy")
    with open(path, encoding="utf-8") as stream:
        content = json.load(stream)
    if isinstance(content, list) and content and all(isinstance(one, dict) for one in content):
        return [_tensors(one) for one in content]
    return _tensors(content)


def _tensors(content: Any) -> Any:
    """Lists of numbers and truths as tensors (float32, int64, bool); everything else as it is."""
    if isinstance(content, dict):
        return {name: _tensors(value) for name, value in content.items()}
    if not isinstance(content, list):
        return content
    try:
        made = torch.tensor(content)
    except (ValueError, TypeError, RuntimeError):
        if _ragged(content):
            raise ValueError("it holds lists of numbers of unequal lengths, which make no tensor") from None
        return [_tensors(one) for one in content]
    return made.float() if made.is_floating_point() else made


def _ragged(content: Any) -> bool:
    numbers = [one for one in content if not isinstance(one, (list, dict, str))]
    return bool(numbers) or any(isinstance(one, list) and _ragged(one) for one in content)
