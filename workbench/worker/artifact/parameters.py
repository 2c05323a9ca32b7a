"""Digests of parameters and buffers, and what they say about an artifact's own.

A bias off by 1e-3 can hide below the noise of bfloat16, so parameters are compared bit by bit where they can be
read. Never changes a tensor. Carried into a bundle's verify.py: torch and the standard library only.
"""

from __future__ import annotations

import ctypes
import hashlib
import math
from collections.abc import Iterable
from typing import Any

import torch


def describe_tensors(tensors: Iterable[tuple[str, torch.Tensor]]) -> dict[str, dict[str, Any]]:
    """For each name: sha256 of the values, dtype, shape, and mean and RMS, which say how far a changed one is off."""
    described = {}
    for name, tensor in tensors:
        value = tensor.detach()
        mean, rms = _parameters_moments(value)
        described[name] = {
            "sha256": tensor_sha256(value),
            "dtype": str(value.dtype).removeprefix("torch."),
            "shape": list(value.shape),
            "mean": mean,
            "rms": rms,
        }
    return described


def tensor_sha256(tensor: torch.Tensor) -> str:
    """Hex digest of a strided tensor's elements in row-major order, wherever it lies and however it is strided."""
    plain = tensor.detach().cpu().resolve_conj().resolve_neg().contiguous()
    digest = hashlib.sha256()
    size = plain.numel() * plain.element_size()
    if size:
        digest.update((ctypes.c_char * size).from_address(plain.data_ptr()))
    return digest.hexdigest()


def match_parameters(
    tensors: Iterable[tuple[str, torch.Tensor]], expected: dict[str, dict[str, Any]], prefix: str = ""
) -> tuple[str, str]:
    """Status ("pass", "fail" or "skip") and evidence: the artifact's tensors against the checkpoint's digests.

    Names are compared without `prefix`. What the artifact does not hold under a known name is no failure by itself
    (an export drops what forward never uses); what it holds with other values is.
    """
    cut = prefix + "."
    own = {name[len(cut) :] if prefix and name.startswith(cut) else name: tensor for name, tensor in tensors}
    common = [name for name in own if name in expected]
    if not common:
        return _parameters_by_content(own, expected)
    wrong = [_parameters_difference(name, own[name], expected[name]) for name in common]
    wrong = [words for words in wrong if words]
    if wrong:
        more = f"; and {len(wrong) - 5} more" if len(wrong) > 5 else ""
        return "fail", f"{len(wrong)} of {len(common)} differ from the checkpoint: {'; '.join(wrong[:5])}{more}"
    absent = [name for name in expected if name not in own]
    rest = f"; not in the artifact: {', '.join(absent[:5])}{' …' if len(absent) > 5 else ''}" if absent else ""
    return "pass", f"{len(common)} of {len(expected)} tensors have the checkpoint's bits{rest}"


def _parameters_by_content(own: dict[str, torch.Tensor], expected: dict[str, dict[str, Any]]) -> tuple[str, str]:
    if not own or not expected:
        return "skip", "no parameters can be read from the artifact" if not own else "the checkpoint has no parameters"
    known = {entry["sha256"] for entry in expected.values()}
    found = sum(not _parameters_unreadable(tensor) and tensor_sha256(tensor) in known for tensor in own.values())
    if found == len(own):
        return "pass", f"all {found} tensors have the bits of the checkpoint's, under other names"
    return "skip", f"the artifact names its {len(own)} tensors differently; {found} have the bits of the checkpoint's"


def _parameters_difference(name: str, tensor: torch.Tensor, entry: dict[str, Any]) -> str:
    dtype, shape = str(tensor.dtype).removeprefix("torch."), list(tensor.shape)
    if dtype != entry["dtype"] or shape != entry["shape"]:
        return f"{name} is {dtype}{shape}, the checkpoint's is {entry['dtype']}{entry['shape']}"
    if words := _parameters_unreadable(tensor):
        return f"{name} is {words}, the checkpoint's is an ordinary tensor"
    if tensor_sha256(tensor) == entry["sha256"]:
        return ""
    mean, rms = _parameters_moments(tensor.detach())
    its_mean, its_rms = float(entry["mean"]), float(entry["rms"])
    return f"{name} {shape} (mean {mean:.6g} against {its_mean:.6g}, RMS {rms:.6g} against {its_rms:.6g})"


def _parameters_unreadable(tensor: torch.Tensor) -> str:
    """What a tensor is whose bits cannot be read in row-major order; empty for an ordinary one."""
    if tensor.layout is not torch.strided:
        return str(tensor.layout).removeprefix("torch.")
    return "without data" if tensor.is_meta else ""


def _parameters_moments(tensor: torch.Tensor) -> tuple[float, float]:
    if not tensor.numel() or tensor.is_complex():
        return 0.0, 0.0
    values = tensor.reshape(-1)
    total = squares = 0.0
    for chunk in torch.split(values, 1 << 20):  # one small float64 copy at a time
        wide = chunk.double()
        total += float(wide.sum())
        squares += float(wide.square().sum())
    mean, rms = total / values.numel(), math.sqrt(squares / values.numel()) if squares >= 0 else 0.0
    return (mean, rms) if math.isfinite(mean) and math.isfinite(rms) else (0.0, 0.0)
