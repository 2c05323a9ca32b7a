"""One number for the bits of an output: equality without keeping a copy.

Reads bytes in pieces of bounded size; it never changes a tensor and never copies one as a whole when it is on the CPU.
Pieces are hashed by Python's own keyed hash of bytes (SipHash, PEP 456; 64 bits), some five times as fast as a
cryptographic one: a digest says something within this process alone.
"""

from __future__ import annotations

import ctypes
import hashlib
import struct

import torch

from workbench.worker.judge.leaves import Flat
from workbench.worker.judge.pieces import pieces, shape_of

_PIECE = 1 << 22
"""Elements of a tensor that are made contiguous together."""
_HASHED = 1 << 18
"""Bytes that are hashed together: they lie in a core's cache, and no other thread waits for long."""


def digest(flat: Flat) -> bytes:
    """Of tree, dtypes, shapes and bits. Two equal digests are equal outputs; NaN payloads count as bits."""
    state = hashlib.blake2b(flat.structure.encode("utf-8", "surrogatepass"), digest_size=16)
    with torch.inference_mode(False), torch.no_grad():
        for path, tensor in flat.leaves:
            state.update(f"{path}|{tensor.dtype}|{shape_of(tensor)}".encode("utf-8", "surrogatepass"))
            for name, part in pieces(tensor):
                if name:
                    state.update(f"|{name}|{part.dtype}|{tuple(part.shape)}".encode())
                _add(state, part)
    return state.digest()


def _add(state: hashlib.blake2b, tensor: torch.Tensor) -> None:
    if tensor.numel() == 0:
        return
    if tensor.is_contiguous() and tensor.device.type == "cpu":
        _add_memory(state, tensor)
        return
    if tensor.dim() == 0 or tensor.numel() <= _PIECE:
        _add_memory(state, tensor.to("cpu").contiguous())
        return
    for part in (
        tensor.unbind(0)
        if tensor.numel() // tensor.shape[0] > _PIECE
        else torch.split(tensor, max(1, _PIECE * tensor.shape[0] // tensor.numel()))
    ):
        _add(state, part)


def _add_memory(state: hashlib.blake2b, tensor: torch.Tensor) -> None:
    if tensor.is_conj() or tensor.is_neg():
        tensor = tensor.resolve_conj().resolve_neg()
    length, start = tensor.numel() * tensor.element_size(), tensor.data_ptr()
    for first in range(0, length, _HASHED):
        piece = ctypes.string_at(start + first, min(_HASHED, length - first))
        state.update(struct.pack("<q", hash(piece)))
