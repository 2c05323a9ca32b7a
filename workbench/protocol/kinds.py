"""What kind of file something is, told by its bytes and never by its name. Reads little, loads and runs nothing.

The only reader of kinds: what the supervisor asks a yes for, what a worker then loads, and what `inspect` says of a
file are told by this one module. It makes no verdict about trust. Standard library only, without torch.
"""

from __future__ import annotations

import ast
import json
import struct
import zipfile
from typing import IO

from .pickle_bounds import PICKLE_LIMIT, archived_pickle
from .pickle_names import allowed_name, wanted_names
from .text_pickles import reads_as_pickle

LEGACY = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
"""torch.save before 1.6: a pickled magic number, then pickles one after the other (torch/serialization.py)."""

LEGACY_HEAD = 3
"""Pickles before the object itself: magic number, protocol version, system information."""

_HEADER_LIMIT = 100 << 20
"""Bytes of a safetensors header; the reference implementation's own limit."""

INDEX_LIMIT = 256 << 20
"""Bytes of an index of weights in several files; one of half a million names has about 50 MB."""

_SOURCE_LIMIT = 8 << 20
"""Bytes of a Python file."""

_NATIVE = (b"\x7fELF", b"\xcf\xfa\xed\xfe", b"\xca\xfe\xba\xbe", b"MZ\x90\x00")
"""How shared libraries and programs of Linux, macOS (one or several processors) and Windows begin."""

_ZIP_ERRORS = (
    zipfile.BadZipFile, zipfile.LargeZipFile, OSError, ValueError, NotImplementedError, RuntimeError, EOFError
)  # fmt: skip


def kind_of(stream: IO[bytes], size: int, form: str = "") -> str:
    """One of the kinds of `Fingerprint.kind` but "bundle"; `stream` is seekable and `size` bytes long.

    form: what `form_of` said of it, where that is known.
    """
    form = form or form_of(stream, size)
    if form == "checkpoint":
        return _checkpoint_kind(stream, size)
    if form == "legacy":
        stream.seek(0)
        return _pickle_kind(stream.read(PICKLE_LIMIT), LEGACY_HEAD + 1)
    return "unknown" if form in ("archive", "native", "broken safetensors") else form


def form_of(stream: IO[bytes], size: int) -> str:
    """How the bytes are laid out: a kind, or one of these, which are kinds only after a further look:

    "checkpoint" (torch.save's archive), "legacy" (its format before 1.6), "archive" (a zip of something else),
    "native" (a shared library or program), "broken safetensors" (begins like one, and is cut off or lies).
    """
    stream.seek(0)
    head = stream.read(64)
    if head.startswith(b"PK\x03\x04"):
        return _archive_form(stream)
    if form := _safetensors_form(stream, head, size):
        return form
    if head.startswith(LEGACY):
        return "legacy"
    if head[:1] == b"\x80" and head[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05"):
        return "pickle"
    if head[:4] in _NATIVE:
        return "native"
    if _is_python(stream, head, size):
        return "python"
    if _is_onnx(head):
        return "onnx"
    if _begins_index(stream, head, size):
        return "index"
    return "pickle" if reads_as_pickle(stream, size) else "unknown"


def _archive_form(stream: IO[bytes]) -> str:
    """The most dangerous thing that a torch archive is; "unknown" for one that does not read."""
    try:
        with zipfile.ZipFile(stream) as archive:
            names = [name.partition("/")[2] or name for name in archive.namelist()]
            begins = min((one.header_offset for one in archive.infolist()), default=0)
    except _ZIP_ERRORS:
        return "unknown"
    if not names or begins:  # an archive that lies inside another one, whose end is gone, is not what the file is
        return "unknown"
    if any(name.startswith("data/aotinductor/") for name in names):
        return "aoti"
    if "constants.pkl" in names and any(name.startswith("code/") for name in names):
        return "torchscript"
    if any(name.startswith("models/") for name in names) or "serialized_exported_program.json" in names:
        return "pt2"
    return "checkpoint" if "data.pkl" in names else "archive"


def _checkpoint_kind(stream: IO[bytes], size: int) -> str:
    try:
        with zipfile.ZipFile(stream) as archive:
            full = next(name for name in archive.namelist() if (name.partition("/")[2] or name) == "data.pkl")
            return _pickle_kind(archived_pickle(archive, full, size) or b"", 1)
    except _ZIP_ERRORS:
        return "unknown"


def _pickle_kind(data: bytes, pickles: int) -> str:
    """ "state_dict" when nothing but tensors and plain containers is asked for, "pickle" otherwise."""
    try:
        names = list(wanted_names(data, pickles))
    except (ValueError, IndexError, KeyError, UnicodeDecodeError, OverflowError, MemoryError, struct.error):
        return "pickle"
    return "state_dict" if all(map(allowed_name, names)) else "pickle"


def _safetensors_form(stream: IO[bytes], head: bytes, size: int) -> str:
    """Eight bytes of length, then a JSON object of that length (the safetensors format); empty for something else."""
    if len(head) < 9 or head[8:9] != b"{":
        return ""
    (length,) = struct.unpack("<Q", head[:8])
    if 2 <= length <= min(size - 8, _HEADER_LIMIT):
        stream.seek(8)
        try:
            if isinstance(json.loads(stream.read(length)), dict):
                return "safetensors"
        except (ValueError, RecursionError):
            return "broken safetensors"
    return "broken safetensors" if b"\0" in head[:8] else ""  # a text has no NUL, a length that is possible has


def _is_onnx(head: bytes) -> bool:
    """A protobuf ModelProto begins with its ir_version, then one of its own few fields (onnx.proto)."""
    return len(head) > 3 and head[0] == 0x08 and 1 <= head[1] <= 30 and head[2] in (0x12, 0x1A, 0x22, 0x28, 0x3A, 0x42)


def is_index(data: object) -> bool:
    """Whether a JSON value is an index of weights: names of tensors → names of files."""
    return isinstance(data, dict) and isinstance(data.get("weight_map"), dict)


def _begins_index(stream: IO[bytes], head: bytes, size: int) -> bool:
    """JSON that says which file holds which tensor, as Hugging Face's programs write it."""
    if not head.lstrip().startswith(b"{") or size > INDEX_LIMIT:
        return False
    stream.seek(0)
    try:
        return is_index(json.loads(stream.read()))
    except (ValueError, RecursionError):
        return False


def _is_python(stream: IO[bytes], head: bytes, size: int) -> bool:
    """Text that parses as Python and defines or imports something."""
    if b"\0" in head or size > _SOURCE_LIMIT:
        return False
    stream.seek(0)
    try:
        tree = ast.parse(stream.read())
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    telling = (ast.Import, ast.ImportFrom, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    return any(isinstance(node, telling) for node in tree.body)
