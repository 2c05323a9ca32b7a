"""Which names a pickle would import, read opcode by opcode. Nothing is loaded. Standard library only, without torch."""

from __future__ import annotations

import io
import pickletools
import re
from collections.abc import Generator, Iterator

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


def allowed_name(name: str) -> bool:
    """Whether torch.load(weights_only=True) lets a pickle import `name`."""
    return _ALLOWED.fullmatch(name) is not None


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
