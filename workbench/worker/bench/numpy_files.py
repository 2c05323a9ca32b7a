"""The .npy and .npz formats in the standard library and torch: numbers only, never a pickled object.

Owns the reading of numpy's files, so that a worker needs no numpy. A header is a stranger's claim: its dtype, order and
shape are checked against the bytes that are there before a tensor is made.
"""

from __future__ import annotations

import ast
import math
import os
import re
import struct
import sys
import zipfile
from typing import IO, Any, NamedTuple

import torch

MAGIC = b"\x93NUMPY"
_HEADER_LIMIT = 1 << 20
_LIMIT = 8 << 30
"""Bytes of an array, and of all arrays of an archive; what claims more is a bomb, or belongs into .npy files."""
_STEP = 1 << 20
_RATIO, _INFLATED = 200, 64 << 20
"""An archive that inflates by more than the first, as zeros do, holds at most so many bytes."""

_DTYPES = {
    "f2": torch.float16, "f4": torch.float32, "f8": torch.float64, "c8": torch.complex64, "c16": torch.complex128,
    "i1": torch.int8, "i2": torch.int16, "i4": torch.int32, "i8": torch.int64, "u1": torch.uint8, "b1": torch.bool,
    "u2": torch.uint16, "u4": torch.uint32, "u8": torch.uint64,
}  # fmt: skip
"""Numpy's kind and size → torch's dtype."""

_WIDER = {torch.uint16: torch.int32, torch.uint32: torch.int64}
"""Unsigned ones that hardly an operator takes, and the signed dtype that holds them all."""


def load_npy(path: str) -> torch.Tensor:
    """The array of a .npy file. Raises ValueError for a file that lies or holds objects, OSError for none to read."""
    with open(path, "rb") as stream:
        return _array(stream, os.fstat(stream.fileno()).st_size)


def load_npz(path: str) -> dict[str, torch.Tensor]:
    """The arrays of a .npz file by name. Raises ValueError and OSError as `load_npy`, zipfile.BadZipFile."""
    found = {}
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        claimed = sum(member.file_size for member in members)
        if claimed > _LIMIT or claimed > max(_INFLATED, _RATIO * os.path.getsize(path)):
            raise ValueError(
                f"its arrays claim {claimed} bytes from {os.path.getsize(path)}: a bomb, or too much at once"
            )
        for member in members:
            with archive.open(member) as stream:
                found[member.filename.removesuffix(".npy")] = _array(stream, member.file_size)
    return found


def _array(stream: IO[bytes], size: int) -> torch.Tensor:
    """numpy.lib.format: magic, version, length of the header, a literal dict, then the elements."""
    start = stream.read(8)
    if start[:6] != MAGIC:
        raise ValueError("it does not begin as a .npy file does")
    wide = start[6] > 1
    (length,) = struct.unpack("<I" if wide else "<H", stream.read(4 if wide else 2))
    if length > _HEADER_LIMIT:
        raise ValueError(f"its header claims {length} bytes")
    header = stream.read(length)
    layout = _layout(header)
    count = math.prod(layout.shape)
    wanted = count * layout.width
    there = size - len(start) - (4 if wide else 2) - length
    if wanted > there or wanted > _LIMIT:
        raise ValueError(f"it claims {wanted} bytes of elements, and {max(there, 0)} are there")
    data = bytearray(wanted)
    done = _fill(stream, memoryview(data))
    if done != wanted:
        raise ValueError(f"it is cut off: {done} of {wanted} bytes of elements")
    dtype = _WIDER.get(layout.dtype, layout.dtype)
    if not count:
        return torch.empty(layout.shape, dtype=dtype)
    if layout.swapped:
        part = layout.width // 2 if layout.dtype.is_complex else layout.width
        made = torch.frombuffer(data, dtype=torch.uint8).view(-1, part).flip(1).flatten().view(layout.dtype)
    else:
        made = torch.frombuffer(data, dtype=layout.dtype)
    made = made.to(dtype)
    if layout.fortran:
        return made.view(layout.shape[::-1]).permute(*range(len(layout.shape) - 1, -1, -1)).contiguous()
    return made.view(layout.shape)


def _fill(stream: IO[bytes], room: memoryview) -> int:
    """Read until `room` is full or the stream ends; bytes that were read. No second copy of them is made."""
    done = 0
    while done < len(room):
        part = stream.read(min(len(room) - done, _STEP))
        if not part:
            break
        room[done : done + len(part)] = part
        done += len(part)
    return done


class _Layout(NamedTuple):
    dtype: torch.dtype
    width: int
    """Bytes of an element."""
    swapped: bool
    """Its bytes are in the other order than this machine's."""
    fortran: bool
    """The first index runs fastest."""
    shape: tuple[int, ...]


def _layout(header: bytes) -> _Layout:
    try:
        described: Any = ast.literal_eval(header.decode("latin-1").strip())
        descr, fortran, shape = described["descr"], described["fortran_order"], described["shape"]
    except (ValueError, SyntaxError, TypeError, KeyError, MemoryError, RecursionError) as problem:
        raise ValueError("its header does not read") from problem
    match = re.fullmatch(r"([<>|=])([a-zA-Z])(\d+)", descr) if isinstance(descr, str) else None
    if match is None or match[2] == "O":
        raise ValueError("it holds objects or records, which are never loaded: save arrays of numbers")
    dtype = _DTYPES.get(match[2] + match[3])
    if dtype is None:
        raise ValueError(f"torch has no dtype for numpy's {descr}")
    few = isinstance(shape, tuple) and len(shape) <= 64  # as numpy itself
    sizes = few and all(isinstance(one, int) and 0 <= one < 2**40 for one in shape)
    if not sizes or not isinstance(fortran, bool):
        raise ValueError("its header does not read")
    width = int(match[3])
    other = ">" if sys.byteorder == "little" else "<"
    return _Layout(dtype, width, match[1] == other and width > 1, fortran, shape)
