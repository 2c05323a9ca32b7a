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
    tensors: Iterable[tuple[str, torch.Tensor]],
    expected: dict[str, dict[str, Any]],
    prefix: str = "",
    folds: bool = False,
    rewritten: dict[str, str] | None = None,
) -> tuple[str, str]:
    """Status ("pass", "fail" or "skip") and evidence: the artifact's tensors against the checkpoint's digests.

    Names are compared without `prefix`, and without what one side has in front of all its names (a wrapper's
    attribute). What the artifact does not hold under a known name is no failure by itself (an export drops what
    forward never uses); what it holds with other values is. folds: a program may have batch norm folded into the layer
    before it, which then has other values. rewritten: the artifact's name → sha256 of tensors that are known to be
    the checkpoint's times a factor.
    """
    own, bits, names = _parameters_read(tensors, expected, prefix)
    if not names:
        return _parameters_by_content(own, bits, expected)
    undone = [name for name in names if bits[name] and (rewritten or {}).get(name) == bits[name]]
    wrong = [
        _parameters_difference(name, own[name], bits[name], expected[known])
        for name, known in names.items()
        if name not in undone
    ]
    wrong = [words for words in wrong if words]
    if undone and not wrong:
        listed = f"{', '.join(undone[:5])}{' …' if len(undone) > 5 else ''}"
        words = f"{len(undone)} of {len(names)} are the checkpoint's times a factor, which its answers do not show"
        return "skip", f"{words} ({listed}): the answers decide"
    if wrong and folds and (gone := _parameters_folded(own, bits, names, expected)):
        words = (
            f"{len(wrong)} of {len(names)} have other values, as where batch norm is folded into the layer before it"
        )
        return "skip", f"{words} ({', '.join(gone[:3])} not in the artifact): the answers decide"
    if wrong:
        return "fail", f"{len(wrong)} of {len(names)} differ from the checkpoint: {_parameters_listed(wrong)}"
    held = set(names.values())
    absent = [name for name in expected if name not in held]
    rest = f"; not in the artifact: {', '.join(absent[:5])}{' …' if len(absent) > 5 else ''}" if absent else ""
    return "pass", f"{len(names)} of {len(expected)} tensors have the checkpoint's bits{rest}"


def _parameters_folded(
    own: dict[str, torch.Tensor], bits: dict[str, str], names: dict[str, str], expected: dict[str, dict[str, Any]]
) -> list[str]:
    """The batch norms that the artifact does not hold, when no more layers differ than may have one of them folded into
    them, each by an ordinary tensor of the checkpoint's shape; empty otherwise."""
    held = set(names.values())
    gone = [name.rpartition(".")[0] for name in expected if name.endswith("running_var") and name not in held]
    differing = {name: known for name, known in names.items() if bits[name] != expected[known]["sha256"]}
    plain = all(_parameters_alike(own[name], expected[known]) and bits[name] for name, known in differing.items())
    layers = {known.rpartition(".")[0] for known in differing.values()}
    return gone if plain and len(layers) <= len(gone) else []


def differing_parameters(
    tensors: Iterable[tuple[str, torch.Tensor]], expected: dict[str, dict[str, Any]], prefix: str = ""
) -> tuple[dict[str, torch.Tensor], dict[str, str], set[str]]:
    """Of the artifact's tensors those with other bits than the checkpoint's under the names that `match_parameters`
    pairs, on the CPU, each of their names → the checkpoint's, and all names of the checkpoint that it has a tensor
    for."""
    own, bits, names = _parameters_read(tensors, expected, prefix)
    wrong = {name: known for name, known in names.items() if bits[name] != expected[known]["sha256"]}
    return {name: own[name].detach().cpu() for name in wrong}, wrong, set(names.values())


def _parameters_read(
    tensors: Iterable[tuple[str, torch.Tensor]], expected: dict[str, dict[str, Any]], prefix: str
) -> tuple[dict[str, torch.Tensor], dict[str, str], dict[str, str]]:
    """The artifact's tensors by name without `prefix`, their digests, and its names → the checkpoint's."""
    cut = prefix + "."
    own = {name[len(cut) :] if prefix and name.startswith(cut) else name: tensor for name, tensor in tensors}
    bits = {name: "" if _parameters_unreadable(tensor) else tensor_sha256(tensor) for name, tensor in own.items()}
    return own, bits, _parameters_names(own, bits, expected)


def _parameters_names(
    own: dict[str, torch.Tensor], bits: dict[str, str], expected: dict[str, dict[str, Any]]
) -> dict[str, str]:
    """The artifact's name → the checkpoint's, with that leading path cut off which makes most tensors agree."""
    same = {name: name for name in own if name in expected}
    ways: dict[tuple[str, str], dict[str, str]] = {("", ""): same}
    for side, names, others in (("own", own, expected), ("expected", expected, own)):
        for name in names:
            for place in (place for place, letter in enumerate(name) if letter == "."):
                rest = name[place + 1 :]
                if rest in others:
                    pair = (name, rest) if side == "own" else (rest, name)
                    ways.setdefault((side, name[:place]), {})[pair[0]] = pair[1]

    def agreement(way: dict[str, str]) -> tuple[int, int]:
        alike = [name for name, known in way.items() if _parameters_alike(own[name], expected[known])]
        return sum(bits[name] == expected[way[name]]["sha256"] for name in alike), len(alike)

    best = max(ways.values(), key=agreement)  # the first of equals: the names as they are
    if best is not same and not agreement(best)[1]:
        best = same
    taken = set(best.values())
    return {**best, **{name: name for name in same if name not in best and name not in taken}}


def _parameters_by_content(
    own: dict[str, torch.Tensor], bits: dict[str, str], expected: dict[str, dict[str, Any]]
) -> tuple[str, str]:
    """No name is known: tensors are recognised by their bits, and what is left over by dtype and shape."""
    if not own or not expected:
        return "skip", "no parameters can be read from the artifact" if not own else "the checkpoint has no parameters"
    known = {entry["sha256"] for entry in expected.values()}
    left = [name for name in own if bits[name] not in known]
    found = len(own) - len(left)
    if not left:
        return "pass", f"all {found} tensors have the bits of the checkpoint's, under other names"
    held = set(bits.values())
    absent = [name for name, entry in expected.items() if entry["sha256"] not in held]
    lacking, pairs = len(absent), []
    for name in left:
        match = next((other for other in absent if _parameters_alike(own[name], expected[other])), None)
        if match is not None:
            absent.remove(match)
            pairs.append((name, match))
    if found and pairs and (len(pairs) == len(left) or len(pairs) == lacking):
        wrong = [
            f"{_parameters_difference(name, own[name], bits[name], expected[other])} in the place of {other}"
            for name, other in pairs
        ]
        return (
            "fail",
            f"{found} of {len(own)} have the checkpoint's bits under other names: {_parameters_listed(wrong)}",
        )
    return "skip", f"the artifact names its {len(own)} tensors differently; {found} have the bits of the checkpoint's"


def _parameters_listed(wrong: list[str]) -> str:
    return "; ".join(wrong[:5]) + (f"; and {len(wrong) - 5} more" if len(wrong) > 5 else "")


def _parameters_alike(tensor: torch.Tensor, entry: dict[str, Any]) -> bool:
    """Whether dtype and shape agree."""
    return (str(tensor.dtype).removeprefix("torch."), list(tensor.shape)) == (entry["dtype"], entry["shape"])


def _parameters_difference(name: str, tensor: torch.Tensor, bits: str, entry: dict[str, Any]) -> str:
    dtype, shape = str(tensor.dtype).removeprefix("torch."), list(tensor.shape)
    if not _parameters_alike(tensor, entry):
        return f"{name} is {dtype}{shape}, the checkpoint's is {entry['dtype']}{entry['shape']}"
    if words := _parameters_unreadable(tensor):
        return f"{name} is {words}, the checkpoint's is an ordinary tensor"
    if bits == entry["sha256"]:
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
