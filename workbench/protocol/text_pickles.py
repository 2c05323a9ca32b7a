"""Whether bytes without a mark of their own are a pickle all the same: protocols 0 and 1 begin with any opcode.

Walks the opcodes by the standard library's own table; nothing is imported and nothing is called.
"""

from __future__ import annotations

import io
import pickletools
import re
import struct
from typing import IO

WALKED = 1 << 20
"""Bytes from the beginning that are walked: a text that reads as opcodes for so long is none."""

ENOUGH = 1_000
"""Opcodes that say as much of a file whose end is not walked to."""

_LEAST = 3
"""Opcodes, the last one included, of a value without a global: two letters and a point may be anything."""

_TAIL = 64
"""Bytes at the end that are looked at for the last opcode, and for the blanks that an editor leaves behind it."""

_NAME = re.compile(r"[^\W\d][\w.]* [^\W\d][\w.]*")
_ERRORS = (ValueError, IndexError, KeyError, OverflowError, struct.error)


class _Nowhere(io.StringIO):
    """Where the listing of opcodes goes, which nobody reads."""

    def write(self, text: str) -> int:
        return len(text)


def reads_as_pickle(stream: IO[bytes], size: int) -> bool:
    """Whether all of it is one pickle: every opcode reads, the stack comes out, and a STOP is the end of the file."""
    stream.seek(max(0, size - _TAIL))
    blanks = stream.read(_TAIL)
    end = size - (len(blanks) - len(blanks.rstrip()))
    if not blanks.rstrip().endswith(b"."):
        return False
    stream.seek(0)
    data = stream.read(min(end, WALKED))
    names, count, behind = _walked(data)
    if end > WALKED:
        return behind != 0 and (names or count >= ENOUGH)
    if behind != end or not (names or count >= _LEAST):
        return False
    try:
        pickletools.dis(data, out=_Nowhere())
    except _ERRORS:
        return False
    return True


def _walked(data: bytes) -> tuple[bool, int, int]:
    """(a name is imported, opcodes, where they end: behind STOP, -1 where the data ends first, 0 for no pickle)."""
    names, count = False, 0
    stream = io.BytesIO(data)
    try:
        for opcode, argument, _ in pickletools.genops(stream):
            count += 1
            if opcode.name in ("GLOBAL", "INST"):
                if _NAME.fullmatch(str(argument)) is None:
                    return names, count, 0
                names = True
            names = names or opcode.name == "STACK_GLOBAL"
    except _ERRORS:
        return names, count, -1 if stream.tell() == len(data) else 0
    return names, count, stream.tell()
