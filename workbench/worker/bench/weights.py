"""state_dict files: reads .pt/.pth (weights_only) and .safetensors, and puts them into a model, strictly.

Owns which bytes become the model's numbers. A file is told by its content and read once, into memory of our own;
nothing of it is ever run, and a refusal is never retried in an unsafe way.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import shlex
import stat
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from workbench.protocol.failures import WorkbenchError, error, unreadable
from workbench.worker import tensorfile
from workbench.worker.bench.shards import Digests, files_of, joined
from workbench.worker.bench.snapshot import Digest, PrivateCopy
from workbench.worker.bench.words import closest, counted, some, with_article
from workbench.worker.checkpoint import is_state_dict, state_dict_in, state_dicts_in
from workbench.worker.mistaken import AGAIN, mistaken_for


@dataclass
class Checkpoint:
    """The content of one weights file."""

    path: str
    tensors: dict[str, Any]
    """The state_dict; values that are no tensors are extra state of modules."""
    signature: tuple[int, int, int]
    """(inode, size, modification time in ns) when it was read: a cheap look tells whether the file changed."""
    files: Sequence[str]
    """The files themselves: the shards where there are some."""
    notes: list[str] = field(default_factory=list)
    """Worth saying: which nested dict was taken."""
    digest: Digest | Digests | None = None
    """The sha256 of the bytes that became `tensors`, perhaps still being made; None: nobody asked for it."""

    @property
    def sha256(self) -> str:
        """The digest, waited for; empty when nobody asked for it."""
        return self.digest.wait() if self.digest else ""


def signature_of(files: Sequence[str]) -> tuple[int, int, int]:
    """(inode, size, mtime_ns), of all shards together; zeros when one of them is gone. Costs a stat a file."""
    try:
        found = [os.stat(file) for file in files]
    except OSError:
        return (0, 0, 0)
    return (
        sum(one.st_ino for one in found),
        sum(one.st_size for one in found),
        max(one.st_mtime_ns for one in found),
    )


def read(path: str, hashed: bool = True) -> Checkpoint:
    """The state_dict in `path`, or `path#key` for the one under that key of a training checkpoint.

    Raises `WorkbenchError("weights")` for everything that is none.
    """
    path, key = split_key(path)
    files, placed = files_of(path)
    for file in files:
        _require_file(file)
    checkpoint = Checkpoint(path, {}, signature_of(files), files)
    if len(files) == 1 and not placed:
        checkpoint.tensors, checkpoint.digest = _read_file(files[0], checkpoint, key, hashed)
        return checkpoint
    parts = [_read_file(file, checkpoint, "", hashed) for file in files]
    checkpoint.tensors = joined(path, [tensors for tensors, _ in parts], files, placed)
    checkpoint.digest = Digests([digest for _, digest in parts if digest]) if hashed else None
    checkpoint.notes.append(f"{counted(len(files), 'shard')} of {os.path.basename(path) or path}")
    return checkpoint


def contents(path: str) -> list[Any]:
    """What each file of `path` holds: of a training checkpoint everything. Raises `WorkbenchError("weights")`."""
    found = []
    for file in files_of(path)[0]:
        _require_file(file)
        try:
            with PrivateCopy(file) as copy:
                found.append(_content(file, copy))
        except (ValueError, OSError) as problem:
            raise _unreadable(file, problem) from problem
    return found


def _read_file(path: str, checkpoint: Checkpoint, key: str, hashed: bool) -> tuple[dict[str, Any], Digest | None]:
    """The state_dict of one file, and the digest of its bytes."""
    try:
        with PrivateCopy(path) as copy:
            tensors = _state_dict_in(_content(path, copy), checkpoint, key)
            _require_values(path, tensors)
            return tensors, copy.digest() if hashed else None
    except (ValueError, OSError) as problem:
        raise _unreadable(path, problem) from problem


def _unreadable(path: str, problem: OSError | ValueError) -> WorkbenchError:
    if isinstance(problem, tensorfile.TensorfileUnknown):
        remedy = "Take a torch that has it (--python PATH), or have the file saved in another dtype."
        return error("weights", f"{path} does not load here: {problem}.", path, remedy)
    return unreadable("weights", path, problem)


def _require_values(path: str, tensors: dict[str, Any]) -> None:
    """Raises `WorkbenchError("weights")` for tensors that are described and have no values."""
    bare = [name for name, value in tensors.items() if isinstance(value, torch.Tensor) and value.is_meta]
    if bare:
        message = f"{path} describes {some(bare)} and holds no values of {'it' if len(bare) == 1 else 'them'} (meta)."
        raise error("weights", message, path, "Save it from a model that is on no meta device.")


def split_key(path: str) -> tuple[str, str]:
    """(path of the file, key in it): "last.pt#ema" → ("last.pt", "ema"); a file that has a # in its name is a file."""
    file, mark, key = path.rpartition("#")
    return (file, key) if mark and file and not os.path.exists(path) else (path, "")


def _content(path: str, copy: PrivateCopy) -> Any:
    if len(copy.start) > 8 and copy.start[8:9] == b"{":  # first: its length may begin as a pickle does
        with copy.stream() as stream:
            return tensorfile.mapped(stream)
    if copy.start[:2] == b"PK" or copy.start[:1] == b"\x80":
        return _read_torch(path, copy)
    if not copy.start:
        raise error("weights", f"{path} is empty.", path, AGAIN)
    if mistaken := mistaken_for(copy.start):
        raise error("weights", f"{path} is {mistaken[0]}.", path, mistaken[1])
    message = f"{path} is neither a .safetensors file nor one of torch.save."
    raise error("weights", message, path, f"workbench inspect {path} says what it holds.")


def _require_file(path: str) -> None:
    try:
        regular = stat.S_ISREG(os.stat(path).st_mode)
    except FileNotFoundError as problem:
        folder = os.path.dirname(path) or "."
        near = closest(os.path.basename(path), os.listdir(folder)) if os.path.isdir(folder) else ""
        raise error("weights", f"There is no weights file {path}.", "--weights", near or "Check the path.") from problem
    except OSError as problem:
        raise unreadable("weights", path, problem, "--weights") from problem
    if not regular:  # opening a FIFO would wait for ever
        raise error("weights", f"{path} is no regular file.", path, "Name a .pt or .safetensors file.")


def _read_torch(path: str, copy: PrivateCopy) -> Any:
    zipped = copy.start[:2] == b"PK"
    if zipped:
        _check_members(path, copy.name)
    try:
        return torch.load(copy.name, map_location="cpu", weights_only=True, mmap=zipped)
    except pickle.UnpicklingError as problem:
        raise _pickled(path, copy.name, zipped, problem) from problem
    except Exception as problem:  # noqa: BLE001 (loaders raise more than fifteen kinds of exception)
        reason = str(problem).split("\n")[0]
        message = f"{path} does not load: {type(problem).__name__}: {reason}"
        raise error("weights", message, path, "It may be cut off or damaged: copy it again.", str(problem)) from None


def _check_members(path: str, copy: str) -> None:
    """What the archive's list of members tells already. Raises `WorkbenchError("weights")`."""
    try:
        with zipfile.ZipFile(copy) as archive:
            members = archive.infolist()
    except (zipfile.BadZipFile, NotImplementedError, ValueError) as problem:
        message = f"{path} is damaged or cut off: {problem}."
        raise error("weights", message, path, "Copy it again.", str(problem)) from problem
    names = [member.filename for member in members]
    if any(name.endswith("/constants.pkl") for name in names):
        message = f"{path} is a TorchScript program, not a state_dict."
        raise error("weights", message, path, f"workbench verify {path} --against file.py:Name proves it.")
    if any("/models/" in name or name.endswith("archive_format") for name in names):
        message = f"{path} is a torch.export archive (.pt2), not a state_dict."
        raise error("weights", message, path, f"workbench verify {path} --against file.py:Name proves it.")
    if any(member.compress_type != zipfile.ZIP_STORED for member in members):
        message = f"{path} is a compressed archive, which torch.save never writes."
        raise error("weights", message, path, f"workbench inspect {path} says what it holds.")


def _pickled(path: str, copy: str, zipped: bool, problem: Exception) -> WorkbenchError:
    """weights_only refused: say what the file would run, and how to make a file that runs nothing."""
    unsafe: list[str] = []
    if zipped:
        with contextlib.suppress(Exception):  # a damaged pickle may raise anything; the list only betters the words
            unsafe = sorted(torch.serialization.get_unsafe_globals_in_checkpoint(copy))
    named = f" ({some(unsafe)})" if unsafe else ""
    stem = os.path.splitext(os.path.basename(path))[0]
    message = (
        f"{path} holds pickled Python objects{named}, not a plain state_dict. Loading it would run code of the file, "
        "and it breaks when that source is missing or has changed."
    )
    remedy = (
        f"Where it was made: torch.save(model.state_dict(), '{stem}_state.pt'), and name that with --weights. "
        f"Here: workbench convert {shlex.quote(path)} --out {stem} (asks for a yes) makes source and numbers of it."
    )
    return error("weights", message, path, remedy, str(problem), convert=path)


def _state_dict_in(content: Any, checkpoint: Checkpoint, key: str = "") -> dict[str, Any]:
    """The state_dict itself, or one that a training checkpoint holds (said in the notes): that under `key` if given."""
    if key:
        return _under(content, checkpoint, key)
    found = state_dict_in(content)
    if found is not None:
        key, state = found
        if key:
            also = [name for name in state_dicts_in(content) if name != key]
            also_words = f"; also there: {some([f'#{one}' for one in also])}" if also else ""
            names = content if isinstance(content, dict) else map(str, range(len(content)))
            others = [str(name) for name in names if name != key.partition(".")[0]]
            beside = f" (beside it: {some(others)}{also_words})" if others else ""
            checkpoint.notes.append(f"took {key!r} of the training checkpoint{beside}")
        return state
    if several := list(state_dicts_in(content)):
        message = f"{checkpoint.path} holds {len(several)} state_dicts: {some(several, 6)}."
        raise error(
            "weights", message, "--weights", f"Name one: --weights {shlex.quote(f'{checkpoint.path}#{several[0]}')}"
        )
    if isinstance(content, dict):
        keys = some([repr(key) for key in content], 6) or "nothing"
        message = f"{checkpoint.path} holds a dict of {keys}, and no state_dict among them."
    else:
        message = f"{checkpoint.path} holds {with_article(type(content).__name__)}, not a state_dict."
    raise error("weights", message, checkpoint.path, "Save it with torch.save(model.state_dict(), …).")


def _under(content: Any, checkpoint: Checkpoint, key: str) -> dict[str, Any]:
    """The state_dict under `key`; dots lead further inwards where no key has that very name."""
    held: Any = content
    for part in [key] if isinstance(content, dict) and key in content else _parts(key):
        if isinstance(held, (list, tuple)) and part.isdecimal() and int(part) < len(held):
            held = held[int(part)]
        else:
            held = held.get(part) if isinstance(held, dict) else None
    if is_state_dict(held):
        checkpoint.notes.append(f"took {key!r} of the training checkpoint")
        return held  # type: ignore[no-any-return]
    there = list(state_dicts_in(content))
    message = f"{checkpoint.path} has no state_dict under {key!r}."
    remedy = f"There is one under {some(there, 6)}." if there else "Leave out the # and what follows it."
    raise error("weights", message, "--weights", remedy)


def _parts(key: str) -> list[str]:
    """The steps of "0.model", or of "[0].model" as `inspect` writes it."""
    return key.replace("[", ".").replace("]", "").removeprefix(".").split(".")
