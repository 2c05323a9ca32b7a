"""The values of two files' tensors beside each other, by the names that `inspect` lists them under.

Read through the bench's own reader, which runs nothing; the whole of a training checkpoint, not its state_dict alone.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.protocol.failures import error
from workbench.protocol.inspected import ValueDifference
from workbench.worker.artifact.inspect_tensors import DEPTH, key_text
from workbench.worker.bench.words import counted
from workbench.worker.job import Job

if TYPE_CHECKING:
    import torch

WITH_VALUES = ("safetensors", "state_dict", "index", "directory")
"""Kinds whose tensors are read without running anything."""

_FILES = "Name files of tensors: .safetensors, or a state_dict of torch.save."
_PROVES = "workbench verify {} --against MODEL proves it."
_INSTEAD = {
    **dict.fromkeys(("torchscript", "pt2", "aoti", "onnx"), _PROVES),
    "bundle": "workbench verify {} proves it again.",
    "pickle": "workbench convert {} --out DIR makes a file of numbers of it, after a yes; name that.",
}
"""What to do with a file of a kind whose values are not read."""

_CHUNK = 1 << 20
"""Elements compared at a time."""

Names = tuple[str, str, str]
"""A tensor as it is called in the comparison, in the first file, and in the second."""


def values_apart(
    paths: tuple[Path, Path], kinds: tuple[str, str], names: Sequence[Names], job: Job
) -> tuple[list[ValueDifference], list[str]]:
    """(the differences of those that differ, what cannot be measured first; the names that could not be compared).

    Raises `WorkbenchError` ("usage", "weights").
    """
    for path, kind in zip(paths, kinds):  # noqa: B905 (two of either)
        if kind not in WITH_VALUES:
            message = f"{path.name} is no file of tensors alone ({kind}): its values are not read here."
            raise error("usage", message, "--values", _INSTEAD.get(kind, _FILES).format(path))
    job.progress("reading both files")
    first, second = (tensors_by_name(str(path)) for path in paths)
    found, left = [], []
    for place, (name, mine, its) in enumerate(names):
        job.raise_if_cancelled()
        job.progress("comparing values", place, len(names))
        one, other = first.get(mine), second.get(its)
        if one is None or other is None or plain_parts(one) is None or plain_parts(other) is None:
            left.append(name)
            continue
        difference = compare_values(name, *_of_one_dtype(one, other))
        if difference is not None:
            found.append(difference)
    return sorted(found, key=lambda one: (not _unmeasured(one), -one.relative)), left


def _of_one_dtype(one: torch.Tensor, other: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Both in the narrower of their dtypes."""
    if one.dtype == other.dtype:
        return one, other
    narrow = min(one.dtype, other.dtype, key=lambda dtype: dtype.itemsize)
    return one.to(narrow), other.to(narrow)


def tensors_by_name(path: str) -> dict[str, torch.Tensor]:
    """Every tensor of a file or of its shards, by the name that `inspect_tensors.tensors_of` gives it.

    Raises `WorkbenchError("weights")`.
    """
    from workbench.worker.bench.weights import contents

    found: dict[str, torch.Tensor] = {}
    for content in contents(path):
        _collect(content, "", 0, found)
    return found


def _collect(value: Any, path: str, depth: int, found: dict[str, Any]) -> None:
    import torch

    if isinstance(value, torch.Tensor):
        found[path or "tensor"] = value
    elif depth > DEPTH:
        return
    elif isinstance(value, dict):
        for key, held in value.items():
            _collect(held, f"{path}.{key_text(key)}" if path else key_text(key), depth + 1, found)
    elif isinstance(value, (list, tuple)):
        for place, held in enumerate(value):
            _collect(held, f"{path}[{place}]", depth + 1, found)


def plain_parts(tensor: torch.Tensor) -> list[torch.Tensor] | None:
    """The dense tensors that hold the values of one, whatever its layout; None where they cannot be had (meta)."""
    import torch

    if tensor.is_meta:
        return None
    if tensor.is_nested:
        return list(tensor.unbind())
    if tensor.is_quantized:
        if tensor.qscheme() in (torch.per_channel_affine, torch.per_channel_affine_float_qparams):
            return [tensor.int_repr(), tensor.q_per_channel_scales(), tensor.q_per_channel_zero_points()]
        return [tensor.int_repr(), torch.tensor([tensor.q_scale()]), torch.tensor([tensor.q_zero_point()])]
    if tensor.layout == torch.sparse_coo:
        whole = tensor.detach().coalesce()
        return [whole.indices(), whole.values()]
    if tensor.layout in (torch.sparse_csr, torch.sparse_bsr):
        return [tensor.crow_indices(), tensor.col_indices(), tensor.values()]
    if tensor.layout in (torch.sparse_csc, torch.sparse_bsc):
        return [tensor.ccol_indices(), tensor.row_indices(), tensor.values()]
    return [tensor] if tensor.layout == torch.strided else None


def compare_values(name: str, one: torch.Tensor, other: torch.Tensor) -> ValueDifference | None:
    """How two tensors of one shape and dtype differ; None for the same bits. Chunked, in float64.

    One that is not dense differs as a whole, without a measure.
    """
    first, second = plain_parts(one), plain_parts(other)
    if first is not None and second is not None and len(first) == len(second) == 1:
        return _compare_dense(name, first[0], second[0])
    same = first is not None and second is not None and one.shape == other.shape and len(first) == len(second)
    pairs = zip(first or (), second or ())  # noqa: B905 (of one length where that counts)
    if same and all(a.shape == b.shape and a.dtype == b.dtype and _compare_dense("", a, b) is None for a, b in pairs):
        return None
    return ValueDifference(name, one.numel(), one.numel(), math.nan, math.nan, 0)


def _compare_dense(name: str, one: torch.Tensor, other: torch.Tensor) -> ValueDifference | None:
    import torch

    first, second = (side.detach().resolve_conj().resolve_neg().contiguous().reshape(-1) for side in (one, other))
    differing = nonfinite = 0
    largest = squares = scale = 0.0
    for begin in range(0, max(first.numel(), 1), _CHUNK):
        a, b = first[begin : begin + _CHUNK], second[begin : begin + _CHUNK]
        if torch.equal(_bits(a), _bits(b)):
            scale += _squares(a)
            continue
        differing += _differing(a, b)
        wide_a, wide_b = _wide(a), _wide(b)
        fine = torch.isfinite(wide_a) & torch.isfinite(wide_b)
        nonfinite += int((torch.isfinite(wide_a) != torch.isfinite(wide_b)).sum())
        delta = (wide_a - wide_b)[fine]
        if delta.numel():
            largest = max(largest, float(delta.abs().max()))
            squares += float(delta.square().sum())
        scale += float(wide_a[fine].square().sum())
    if not differing:
        return None
    relative = math.sqrt(squares / scale) if scale > 0 else math.nan
    return ValueDifference(name, differing, one.numel(), largest, relative, nonfinite)


def _bits(tensor: torch.Tensor) -> torch.Tensor:
    import torch

    return tensor.view(torch.uint8) if tensor.numel() and tensor.dtype != torch.bool else tensor


def _differing(one: torch.Tensor, other: torch.Tensor) -> int:
    """Elements whose bits differ."""
    wrong = _bits(one) != _bits(other)
    width = wrong.numel() // max(one.numel(), 1)
    return int(wrong.view(-1, max(width, 1)).any(dim=1).sum())


_PAIRED = "torch.float4_e2m1fn_x2"
_E2M1 = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0)
"""The values of float4_e2m1fn by their lower three bits, the fourth is the sign (OCP Microscaling Formats, 5.3.3)."""


def _wide(tensor: torch.Tensor) -> torch.Tensor:
    import torch

    if str(tensor.dtype) == _PAIRED:  # torch casts it to nothing; the lower half of a byte comes first
        table = torch.tensor([*_E2M1, *(-one for one in _E2M1)], dtype=torch.float64)
        halves = tensor.view(torch.uint8)
        return table[torch.stack([halves & 15, halves >> 4], dim=-1).reshape(-1).long()]
    return torch.view_as_real(tensor).reshape(-1).double() if tensor.is_complex() else tensor.double()


def _squares(tensor: torch.Tensor) -> float:
    import torch

    wide = _wide(tensor)
    return float(wide[torch.isfinite(wide)].square().sum())


def _unmeasured(one: ValueDifference) -> bool:
    """Whether the largest |Δ| does not tell how far the two are apart."""
    return bool(one.nonfinite) or math.isnan(one.relative)


def value_words(asked: int, differing: Sequence[ValueDifference], left: Sequence[str]) -> str:
    """What was compared and what came of it, in one sentence."""
    compared = asked - len(left)
    more = f" {len(left)} that fit could not be compared: {', '.join(left[:3])}{' …' if len(left) > 3 else ''}."
    more = more if left else ""
    if not compared:
        return f"no values were compared.{more}"
    if not differing:
        same = "the one that fits holds" if asked == 1 else f"{'all ' if not left else ''}{compared} that fit hold"
        return f"{same} the same bits.{more}"
    differ = f"{len(differing)} differ{'s' if len(differing) == 1 else ''}"
    return f"{compared - len(differing)} of {compared} hold the same bits; {differ}: {_far(differing[0])}.{more}"


def rounded_words(rounded: Mapping[str, str], differing: Sequence[ValueDifference], left: Sequence[str]) -> str:
    """What came of those that were rounded, each to its dtype, in one sentence."""
    dtypes = " or ".join(sorted(set(rounded.values())))
    far = f": {_far(differing[0])}" if differing else ""
    more = f" {len(left)} could not be compared." if left else ""
    whose = f"{counted(len(rounded) - len(left), 'tensor')} in floats of two widths"
    return f"{whose}: {len(differing)} differ after rounding to {dtypes}{far}.{more}"


def _far(worst: ValueDifference) -> str:
    if worst.nonfinite:
        values = "1 value that is" if worst.nonfinite == 1 else f"{worst.nonfinite} values that are"
        return f"{worst.name} has {values} finite in one file only"
    if math.isnan(worst.max_abs):
        return f"{worst.name} holds other values"
    if worst.max_abs == 0:
        return f"{worst.name} has the same values in other bits (a negative zero, another NaN)"
    if math.isnan(worst.relative):
        return f"{worst.name} is 0 in the first file, and at most {worst.max_abs:.3g} in the second"
    return f"{worst.name} is off by {worst.relative:.2g} of its RMS, at most {worst.max_abs:.3g}"
