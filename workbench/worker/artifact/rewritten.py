"""Which parameters an artifact holds times a factor and answers as eager all the same: it is undone elsewhere in it,
as where a scale, the step of a normalisation or batch norm is folded into a layer.

Each such tensor is the checkpoint's but for one factor, or one for each row or column, to the rounding of its dtype:
nothing else can hide in it. Runs nothing but the cases that are always asked. Judges nothing.
"""

from __future__ import annotations

import math

import torch

from workbench.worker.artifact.fixed_cases import FixedCases
from workbench.worker.artifact.loading import Opened, named_tensors
from workbench.worker.artifact.parameters import differing_parameters, tensor_sha256
from workbench.worker.artifact.prove_cases import Golden

LEAST = 0.05
"""How far from 1 a factor is at least: a smaller one may hide in the noise of the answers, and is no known thing."""

_SPREAD = 4
"""Elements that share a factor at least: one for each element would be any other tensor."""

_LARGEST = 1 << 26
"""Elements of a tensor that is looked at, in float64."""


def rewritten(state: dict[str, torch.Tensor], opened: Opened, golden: Golden, fixed: FixedCases) -> dict[str, str]:
    """The artifact's name of each such tensor → the sha256 of its values there; none where the fixed cases refuse the
    artifact, whose weights then are what is wrong. state: the model's tensors by name. Raises `Cancelled`."""
    prefix = golden.manifest.get("prefix") or ""
    try:
        values, names, _ = differing_parameters(named_tensors(opened), golden.manifest["parameters"], prefix)
    except Exception:  # noqa: BLE001 (other libraries read them, and the row weights_match says what they raise)
        return {}
    scaled = [name for name, known in names.items() if known in state and times_a_factor(state[known], values[name])]
    return {name: tensor_sha256(values[name]) for name in scaled} if scaled and not fixed.part() else {}


def times_a_factor(own: torch.Tensor, value: torch.Tensor) -> bool:
    """Whether `value` is `own` times one factor, or times one for each row or each column (dimensions 0 and 1)."""
    ordinary = all(one.layout is torch.strided and not one.is_meta and one.is_floating_point() for one in (own, value))
    if not ordinary or (own.shape, own.dtype) != (value.shape, value.dtype) or not 0 < own.numel() <= _LARGEST:
        return False
    a, b = own.detach().cpu().double(), value.detach().cpu().double()
    info = torch.finfo(own.dtype)
    # float32 may be rounded at every step of a fold; in a narrow dtype two steps would be another value
    share = 4 * info.eps if info.bits >= 32 else 0.55 * info.eps
    every = tuple(range(a.dim()))
    apart = [tuple(at for at in every if at != dim) for dim in (0, 1)] if a.dim() > 1 else []
    finite = bool(torch.isfinite(a).all() and torch.isfinite(b).all())
    return finite and any(_one_factor(a, b, shared, share, info.tiny) for shared in (every, *apart))


def _one_factor(a: torch.Tensor, b: torch.Tensor, shared: tuple[int, ...], share: float, tiny: float) -> bool:
    """shared: dimensions along which the factor is the same; share: of a value that its rounding may be."""
    if math.prod(a.shape[dim] for dim in shared) < _SPREAD:
        return False
    squares, products = ((a * one).sum(shared, keepdim=True) for one in (a, b))
    factors = torch.where(squares > 0, products / squares, 1.0)
    known = bool((factors != 0).all()) and bool(((factors - 1).abs() >= LEAST).any())
    return known and bool(((b - a * factors).abs() <= share * b.abs() + tiny).all())
