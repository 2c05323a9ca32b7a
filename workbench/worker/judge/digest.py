"""One number for the bits of an output: equality without keeping a copy.

Reads bytes in pieces of bounded size; it never changes a tensor and never copies one as a whole when it is on the CPU.
"""

from __future__ import annotations

import ctypes
import hashlib

import torch

from workbench.worker.judge.leaves import Flat

_PIECE = 1 << 22
"""Elements of a tensor that are made contiguous together."""


def digest(flat: Flat) -> bytes:
    """Of tree, dtypes, shapes and bits. Two equal digests are equal outputs; NaN payloads count as bits."""
    state = hashlib.blake2b(flat.structure.encode("utf-8", "surrogatepass"), digest_size=16)
    with torch.inference_mode(False), torch.no_grad():
        for path, tensor in flat.leaves:
            state.update(f"{path}|{tensor.dtype}|{tuple(tensor.shape)}".encode("utf-8", "surrogatepass"))
            _add(state, tensor.detach())
    return state.digest()


def _add(state: hashlib.blake2b, tensor: torch.Tensor) -> None:
    if tensor.device.type == "meta" or tensor.numel() == 0:
        return
    if tensor.layout != torch.strided or tensor.is_quantized or tensor.is_nested:
        state.update(repr(tensor.to("cpu")).encode())  # rare, and small enough to print
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
    length = tensor.numel() * tensor.element_size()
    state.update((ctypes.c_char * length).from_address(tensor.data_ptr()))
