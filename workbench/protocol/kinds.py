"""What kind of file something is, told by its bytes and never by its name. Reads little, loads and runs nothing.

The only reader of kinds: what the supervisor asks a yes for, what a worker then loads, and what `inspect` says of a
file are told by this one module. It makes no verdict about trust. Standard library only, without torch.
"""

from __future__ import annotations

import ast
import io
import json
import pickletools
import re
import struct
import zipfile
from collections.abc import Generator, Iterator
from typing import IO

from .pickle_bounds import PICKLE_LIMIT, archived_pickle
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

_ALLOWED = re.compile(
    r"collections\.(OrderedDict|Counter)|(builtins|__builtin__)\.(set|complex|bytearray)|_codecs\.encode"
    r"|torch\.(Size|device|Tensor)|torch\._tensor\._rebuild_from_type_v2|torch\._utils\._rebuild_(tensor(_v[23])?"
    r"|parameter(_with_state)?|qtensor|(sparse|nested)_tensor|meta_tensor_no_storage|wrapper_subclass"
    r"|device_tensor_from_(numpy|cpu_tensor))"
    r"|torch\.nn\.parameter\.Parameter|torch\.storage\.(TypedStorage|UntypedStorage)"
    r"|torch\.serialization\._get_layout|torch\.(cuda\.|sparse\.|cuda\.sparse\.)?[A-Z]\w*(Storage|Tensor)"
    r"|torch\.(bool|bfloat16|(float|u?int|qu?int|complex|bits)\d\w*|per_(tensor|channel)_\w+)"
)
"""Names that torch.load(weights_only=True) allows (torch/_weights_only_unpickler.py, `_get_allowed_globals`)."""

_BY_CODE = {ord(one.code): one for one in pickletools.opcodes}
_BY_NAME = {one.name: ord(one.code) for one in pickletools.opcodes}
_GLOBAL, _STACK_GLOBAL, _MEMOIZE, _STOP = (_BY_NAME[name] for name in ("GLOBAL", "STACK_GLOBAL", "MEMOIZE", "STOP"))
_INST = _BY_NAME["INST"]
_EXTENSIONS = {_BY_NAME[name]: name for name in ("EXT1", "EXT2", "EXT4")}
_TWO_LINES = (_GLOBAL, _INST)
_UNICODE = frozenset(code for name, code in _BY_NAME.items() if "UNICODE" in name)
_PUTS = (_BY_NAME["BINPUT"], _BY_NAME["LONG_BINPUT"])
_GETS = (_BY_NAME["BINGET"], _BY_NAME["LONG_BINGET"])

_CUNNING = {_BY_NAME[name]: name for name in ("POP", "POP_MARK", "DUP", "PUT", "GET")}
"""Opcodes that torch.save does not write, and with which a stack can be arranged to mislead a reader."""

_SIGNED = pickletools.TAKEN_FROM_ARGUMENT4
_LENGTHS = {pickletools.TAKEN_FROM_ARGUMENT1: 1, _SIGNED: 4, pickletools.TAKEN_FROM_ARGUMENT4U: 4}
_LENGTHS[pickletools.TAKEN_FROM_ARGUMENT8U] = 8
"""Bytes of the length that some arguments begin with."""

_UNKNOWN = -100
_SIZES = [_UNKNOWN if code not in _BY_CODE else getattr(_BY_CODE[code].arg, "n", 0) for code in range(256)]
"""Bytes of each opcode's argument, or one of the marks of pickletools."""

_NAMING = [code in (_GLOBAL, _STACK_GLOBAL, _STOP, _INST, *_EXTENSIONS, *_CUNNING) for code in range(256)]
"""Opcodes by which names are told where none lies on the stack, as torch writes them."""
_TELLING = [
    code in (_GLOBAL, _STACK_GLOBAL, _MEMOIZE, _STOP, _INST, *_EXTENSIONS, *_UNICODE, *_PUTS, *_GETS, *_CUNNING)
    for code in range(256)
]  # fmt: skip

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


def allowed_name(name: str) -> bool:
    """Whether torch.load(weights_only=True) lets a pickle import `name`."""
    return _ALLOWED.fullmatch(name) is not None


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


def wanted_names(data: bytes, pickles: int = 1) -> Iterator[str]:
    """Every `module.name` that loading `data` would import. Raises ValueError where that cannot be known."""
    at = 0
    for _ in range(pickles):
        at = yield from _names(data, at)


def _names(data: bytes, at: int) -> Generator[str, None, int]:
    """The names of one pickle; returns where it ends. One with names on its stack is read again, texts and memo too."""
    for told, (code, argument, behind) in enumerate(_opcodes(data, at, _NAMING)):
        if code == _STACK_GLOBAL:
            return (yield from _names_on_stack(data, at, told))
        if code in _CUNNING:
            raise ValueError(f"{_CUNNING[code]} makes it uncertain which names are meant")
        if code == _STOP:
            return behind
        yield _written(code, argument)
    raise ValueError("the pickle ends too early")


def _names_on_stack(data: bytes, at: int, told: int) -> Generator[str, None, int]:
    """The same with STACK_GLOBAL, which takes the last two texts; the first `told` names were told already."""
    texts: list[bytes] = []
    memo: dict[int, bytes] = {}
    last = b""
    for code, argument, behind in _opcodes(data, at, _TELLING):
        if code in _UNICODE:
            last = argument
            texts = [*texts[-1:], argument]
        elif code == _MEMOIZE:
            memo[len(memo)] = last
        elif code in _PUTS:
            memo[int.from_bytes(argument, "little")] = last
        elif code in _GETS:
            last = memo.get(int.from_bytes(argument, "little"), b"")
            texts = [*texts[-1:], last]
        elif code in _CUNNING:
            raise ValueError(f"{_CUNNING[code]} makes it uncertain which names are meant")
        elif code == _STOP:
            return behind
        elif code == _STACK_GLOBAL and len(texts) < 2:
            raise ValueError("a global whose name is not written down")
        elif told:
            told -= 1
        else:
            yield ".".join(map(_text, texts[-2:])) if code == _STACK_GLOBAL else _written(code, argument)
    raise ValueError("the pickle ends too early")


def _written(code: int, argument: bytes) -> str:
    """The name in an opcode itself."""
    if code == _GLOBAL:
        return _text(argument).replace("\n", ".")
    if code == _INST:
        return f"INST.{_text(argument)}".replace("\n", " ")
    return f"{_EXTENSIONS[code]}.{int.from_bytes(argument, 'little')}"


def _opcodes(data: bytes, at: int, telling: list[bool]) -> Iterator[tuple[int, bytes, int]]:
    """(opcode, its argument as it is written, where the next one begins) of the opcodes that are `telling`, to STOP.

    Raises ValueError for what is no opcode, or is cut off.
    """
    sizes, size = _SIZES, len(data)
    while at < size:
        code = data[at]
        width = sizes[code]
        at += 1
        if width >= 0:
            behind = at + width
        elif width == pickletools.UP_TO_NEWLINE:
            behind = _line_end(data, at)
            if code in _TWO_LINES:
                behind = _line_end(data, behind)
            elif code not in _UNICODE:
                _BY_CODE[code].arg.reader(io.BytesIO(data[at:behind]))  # type: ignore[union-attr]
        else:
            before = _LENGTHS.get(width, 0)
            if not before:
                raise ValueError("no opcode of pickle")
            behind = at + before + int.from_bytes(data[at : at + before], "little", signed=width == _SIGNED)
            if behind < at + before:
                raise ValueError("a length below zero")
            at += before
        if telling[code]:
            if behind > size:
                raise ValueError("the pickle ends too early")
            yield code, data[at : behind - (width == pickletools.UP_TO_NEWLINE)], behind
            if code == _STOP:
                return
        at = behind
    raise ValueError("the pickle ends too early")


def _line_end(data: bytes, at: int) -> int:
    """Where the next line begins. Raises ValueError when this one does not end."""
    end = data.find(b"\n", at)
    if end < 0:
        raise ValueError("the pickle ends inside a line")
    return end + 1


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogatepass")


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
