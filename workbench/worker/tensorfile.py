"""The .safetensors format in the standard library and torch: eight bytes of length, a JSON header, the data.

Owns reading and writing of named tensors. A header is a stranger's claim: every length, offset, shape and dtype in it
is checked before anything is made from it. `load` reads data into private memory and never maps it from the file, so
that a file that changes later changes nothing here. `header` needs no torch. A bundle's verify.py carries this source.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import math
import mmap
import os
import stat
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

if TYPE_CHECKING:
    import torch

TENSORFILE_DTYPES = {
    "F64": ("float64", 64), "F32": ("float32", 32), "F16": ("float16", 16), "BF16": ("bfloat16", 16),
    "I64": ("int64", 64), "I32": ("int32", 32), "I16": ("int16", 16), "I8": ("int8", 8),
    "U64": ("uint64", 64), "U32": ("uint32", 32), "U16": ("uint16", 16), "U8": ("uint8", 8),
    "BOOL": ("bool", 8), "C64": ("complex64", 64),
    "F8_E4M3": ("float8_e4m3fn", 8), "F8_E5M2": ("float8_e5m2", 8), "F8_E8M0": ("float8_e8m0fnu", 8),
    "F8_E4M3FNUZ": ("float8_e4m3fnuz", 8), "F8_E5M2FNUZ": ("float8_e5m2fnuz", 8), "F4": ("float4_e2m1fn_x2", 4),
}  # fmt: skip
"""Format's name → (torch's name, bits an element of the format)."""

_TENSORFILE_PAIRED = "float4_e2m1fn_x2"
"""Of which torch counts pairs, a byte each, along the last dimension, and the format single ones."""

TENSORFILE_HEADER_LIMIT = 100_000_000
"""Bytes; the limit of the safetensors format itself."""

_TENSORFILE_CHUNK = 1 << 24

_TENSORFILE_POPULATE = 22
"""MADV_POPULATE_READ of Linux, which the mmap module has no name for: pages in the tables before anybody waits."""


class TensorfileUnknown(ValueError):
    """The file is whole, and has a tensor of a dtype that the torch here has not got."""


class TensorSlot(NamedTuple):
    """One tensor as the header claims it, checked against the file's size."""

    dtype: str
    """torch's name, without "torch."; the format's own, "F6_E2M3", where this knows none."""
    shape: tuple[int, ...]
    begin: int
    """Offset of its first byte in the file."""
    bytes: int


def header(path: str) -> tuple[dict[str, TensorSlot], dict[str, str]]:
    """(name → slot in the file's order, metadata). Raises ValueError for a lying file, OSError for none to read."""
    with _tensorfile_open(path) as stream:
        _, slots, metadata = _tensorfile_header(stream, os.fstat(stream.fileno()).st_size)
    return slots, metadata


def load(path: str, device: str = "cpu") -> dict[str, torch.Tensor]:
    """Every tensor of the file, by name, from one full read into private memory.

    Raises ValueError or OSError like `header`.
    """
    with _tensorfile_open(path) as stream:
        size = os.fstat(stream.fileno()).st_size
        head, slots, _ = _tensorfile_header(stream, size)
        data = mmap.mmap(-1, max(size - len(head), 1), flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        _tensorfile_read(stream, data, size - len(head))
    tensors = {name: _tensorfile_tensor(name, slot, data, len(head)) for name, slot in slots.items()}
    return tensors if device == "cpu" else {name: tensor.to(device) for name, tensor in tensors.items()}


def mapped(stream: BinaryIO) -> dict[str, torch.Tensor]:
    """Every tensor of the file that begins where `stream` stands, over a private mapping: writing changes no file.

    Only for a file that nobody else can write to. Raises ValueError or OSError like `header`.
    """
    start, end = stream.tell(), os.fstat(stream.fileno()).st_size
    _, slots, _ = _tensorfile_header(stream, end - start)
    data = mmap.mmap(stream.fileno(), end, flags=mmap.MAP_PRIVATE)
    with contextlib.suppress(AttributeError, OSError):  # not Linux, or before 5.14: pages come when first looked at
        data.madvise(_TENSORFILE_POPULATE)
    return {name: _tensorfile_tensor(name, slot, data, -start) for name, slot in slots.items()}


def save(path: str, tensors: dict[str, torch.Tensor], metadata: dict[str, str] | None = None) -> None:
    """Write `tensors` to `path`, whole or not at all. Values are copied as they are; sharing is not kept.

    Raises ValueError for a tensor the format has no word for (sparse, quantised, meta), OSError when it cannot write.
    """
    names = {torch_name: name for name, (torch_name, _) in TENSORFILE_DTYPES.items()}
    plain = {name: _tensorfile_plain(name, tensor, names) for name, tensor in tensors.items()}
    order = sorted(plain, key=lambda name: (-plain[name].element_size(), name))
    head: dict[str, Any] = {"__metadata__": metadata} if metadata else {}
    offset = 0
    for name in order:
        tensor = plain[name]
        end = offset + tensor.numel() * tensor.element_size()
        dtype = names[str(tensor.dtype)[6:]]
        shape = list(tensor.shape)
        if tensor.element_size() * 8 != TENSORFILE_DTYPES[dtype][1]:
            shape[-1] *= 2
        head[name] = {"dtype": dtype, "shape": shape, "data_offsets": [offset, end]}
        offset = end
    text = json.dumps(head, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    partial = f"{path}.partial"
    try:
        with open(partial, "wb") as stream:
            stream.write(len(text).to_bytes(8, "little") + text)
            for name in order:
                size = plain[name].numel() * plain[name].element_size()
                if size:
                    stream.write((ctypes.c_char * size).from_address(plain[name].data_ptr()))
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(partial, path)
    finally:
        if os.path.exists(partial):
            os.unlink(partial)


def _tensorfile_open(path: str) -> BinaryIO:
    if not stat.S_ISREG(os.stat(path).st_mode):
        raise ValueError("it is no regular file")  # opening a FIFO would wait for ever
    return open(path, "rb", buffering=0)


def _tensorfile_read(stream: BinaryIO, memory: mmap.mmap, size: int) -> None:
    done = 0
    with memoryview(memory) as view:
        while done < size:
            got = stream.readinto(view[done : min(done + _TENSORFILE_CHUNK, size)])  # type: ignore[attr-defined]
            if not got:
                raise ValueError(f"the file ends after {done} of {size} bytes of data")
            done += got


def _tensorfile_header(stream: BinaryIO, size: int) -> tuple[bytes, dict[str, TensorSlot], dict[str, str]]:
    """(the raw bytes before the data, slots, metadata), all claims checked."""
    start = stream.read(8)
    length = int.from_bytes(start, "little")
    if len(start) < 8 or length > size - 8 or length > TENSORFILE_HEADER_LIMIT:
        raise ValueError(f"not a safetensors file: it claims a header of {length} bytes in a file of {size}")
    text = stream.read(length)
    while len(text) < length:
        more = stream.read(length - len(text))
        if not more:
            raise ValueError("the file ends inside its header")
        text += more
    try:
        claims = json.loads(text.decode("utf-8"), object_pairs_hook=_tensorfile_unique)
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError) as problem:
        raise ValueError(f"not a safetensors file: its header is no JSON ({type(problem).__name__})") from problem
    if not isinstance(claims, dict):
        raise ValueError("not a safetensors file: its header is no JSON object")
    metadata = claims.pop("__metadata__", {})
    if not isinstance(metadata, dict) or any(not isinstance(value, str) for value in metadata.values()):
        raise ValueError("the metadata in the header is no mapping of strings")
    slots = {name: _tensorfile_slot(name, claim, 8 + length) for name, claim in claims.items()}
    _tensorfile_cover(slots, 8 + length, size)
    return start + text, slots, metadata


def _tensorfile_unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise ValueError(f"the header names {name!r} twice")
        found[name] = value
    return found


def _tensorfile_slot(name: str, claim: Any, base: int) -> TensorSlot:
    try:
        known, shape, (begin, end) = claim["dtype"], claim["shape"], claim["data_offsets"]
    except (TypeError, KeyError, ValueError) as problem:
        raise ValueError(f"the header says nothing usable about {name!r}") from problem
    if not isinstance(known, str) or not (known.isascii() and known.isidentifier() and known.isupper()):
        raise ValueError(f"{name!r} has no dtype: {str(known)[:200]!r}")
    if not isinstance(shape, list) or len(shape) > 64 or any(type(size) is not int or size < 0 for size in shape):
        raise ValueError(f"{name!r} has an impossible shape: {str(shape)[:200]}")
    if type(begin) is not int or type(end) is not int or not 0 <= begin <= end:
        raise ValueError(f"{name!r} has impossible offsets: {[begin, end]!r}")
    if known not in TENSORFILE_DTYPES:  # its bytes are where it says, and others can be read
        return TensorSlot(known[:32], tuple(shape), base + begin, end - begin)
    dtype, bits = TENSORFILE_DTYPES[known]
    total = math.prod(shape) * bits  # of any size: it may be too large for a float, and for Python to write out
    if (end - begin) * 8 != total:
        has = f"{total // 8}{'.5' if total % 8 else ''}" if total < 1 << 80 else "more than there can be"
        raise ValueError(f"{name!r} claims {end - begin} bytes, and {dtype}{str(shape)[:200]} has {has}")
    if dtype == _TENSORFILE_PAIRED:
        if not shape or shape[-1] % 2:
            raise ValueError(f"{name!r} is {dtype} of {shape}, and its last size must be even")
        shape = [*shape[:-1], shape[-1] // 2]
    return TensorSlot(dtype, tuple(shape), base + begin, end - begin)


def _tensorfile_cover(slots: dict[str, TensorSlot], base: int, size: int) -> None:
    """The slots follow each other without holes or overlaps and end where the file ends, as the format demands."""
    at = base
    for name, slot in sorted(slots.items(), key=lambda item: (item[1].begin, item[1].bytes)):
        if slot.begin != at:
            what = "overlaps another tensor" if slot.begin < at else "leaves a hole before it"
            raise ValueError(f"{name!r} {what}")
        at += slot.bytes
    if at != size:
        raise ValueError(f"the tensors end at byte {at}, and the file at byte {size}: it is cut off or has more behind")


def _tensorfile_tensor(name: str, slot: TensorSlot, data: mmap.mmap, base: int) -> torch.Tensor:
    import torch

    dtype = getattr(torch, slot.dtype, None)
    if not isinstance(dtype, torch.dtype):
        raise TensorfileUnknown(f"{name!r} has a dtype that is not known to torch {torch.__version__}: {slot.dtype}")
    if not slot.bytes:
        return torch.empty(slot.shape, dtype=dtype)
    offset = slot.begin - base
    raw = torch.frombuffer(data, dtype=torch.uint8, count=slot.bytes, offset=offset)
    if slot.dtype == "bool" and int(raw.max()) > 1:
        raise ValueError(f"{name!r} is bool and holds bytes that are neither 0 nor 1")
    if offset % dtype.itemsize:
        raw = raw.clone()  # kernels want values at multiples of their width
        return raw.view(dtype).reshape(slot.shape)
    count = slot.bytes // dtype.itemsize
    return torch.frombuffer(data, dtype=dtype, count=count, offset=offset).reshape(slot.shape)


def _tensorfile_plain(name: str, tensor: torch.Tensor, names: dict[str, str]) -> torch.Tensor:
    """A contiguous CPU tensor of the same values. Raises ValueError when the format cannot hold it."""
    import torch

    if name == "__metadata__":
        raise ValueError("a tensor cannot be called '__metadata__' in this format")
    if tensor.layout != torch.strided or tensor.is_quantized or tensor.is_meta:
        raise ValueError(f"{name!r} is no plain tensor ({tensor.layout}, {tensor.device})")
    if str(tensor.dtype)[6:] not in names or (str(tensor.dtype)[6:] == _TENSORFILE_PAIRED and not tensor.dim()):
        raise ValueError(f"{name!r} is {tensor.dtype}, which this format has no word for")
    return tensor.detach().cpu().resolve_conj().resolve_neg().contiguous()
