"""Batch norm that an exporter folded into the layer before it: what that layer's tensors have to be then.

Pure: tensors in, tensors out.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

_EPSILONS = (1e-5, 1e-3, 1e-6, 1e-8, 1e-12, 0.0)
"""Of batch norms in use; a state_dict does not hold it."""

_ROUGH = 0.02
"""Relative distance up to which a layer counts as folded: what is left is told as a difference of its own."""

_EXACT = 1e-5
"""Relative distance that folding in float32, in another order of operations, may leave."""


@dataclass(frozen=True)
class Folded:
    """One layer with a batch norm inside."""

    layer: str
    """Path in the checkpoint."""
    norm: str
    """Path of the batch norm that the artifact does not hold."""
    wanted: dict[str, torch.Tensor]
    """The checkpoint's name → what the tensor is after folding, float32."""


@dataclass(frozen=True)
class Folding:
    """What of an artifact's differing tensors batch norm explains."""

    layers: list[Folded]
    fitting: set[str]
    """The artifact's names of tensors that are what folding makes."""
    rounding: str
    """Dtype that the checkpoint was rounded to before; empty: none."""


def folding(
    own: dict[str, torch.Tensor], names: dict[str, str], held: set[str], checkpoint: dict[str, torch.Tensor]
) -> Folding:
    """What batch norm explains: of the checkpoint as it is, or rounded first where that explains more.

    own: the artifact's differing tensors by its names; names: those → the checkpoint's; held: names of the checkpoint
    that the artifact has a tensor for.
    """
    best = Folding([], set(), "")
    for dtype in (None, torch.float16, torch.bfloat16):
        given = checkpoint if dtype is None else {name: _rounded(one, dtype) for name, one in checkpoint.items()}
        layers = _layers(own, names, held, given)
        wanted = {known: value for one in layers for known, value in one.wanted.items()}
        fitting = {name for name, known in names.items() if known in wanted and _equal(wanted[known], own[name])}
        if not best.layers or len(fitting) > len(best.fitting):
            best = Folding(layers, fitting, "" if dtype is None else str(dtype).removeprefix("torch."))
    return best


def _layers(
    own: dict[str, torch.Tensor], names: dict[str, str], held: set[str], checkpoint: dict[str, torch.Tensor]
) -> list[Folded]:
    """Each layer that is the checkpoint's with a batch norm folded in, roughly."""
    gone = [name.rpartition(".")[0] for name in checkpoint if name.endswith(".running_var") and name not in held]
    found = []
    for name, known in names.items():
        layer, _, last = known.rpartition(".")
        if last != "weight" or known not in checkpoint or own[name].dim() < 2:
            continue
        fits = [one for norm in gone if (one := _fit(layer, norm, own[name], checkpoint)) is not None]
        if fits:
            best = min(fits, key=lambda pair: pair[0])[1]
            gone.remove(best.norm)
            found.append(best)
    return found


def _equal(wanted: torch.Tensor, found: torch.Tensor) -> bool:
    """Whether a tensor is what folding in float32 makes."""
    largest = float(wanted.abs().max()) if wanted.numel() else 0.0
    return wanted.shape == found.shape and float((found.double() - wanted.double()).abs().max()) <= _EXACT * largest


def _rounded(value: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    return value.to(dtype).to(value.dtype) if value.is_floating_point() else value


def _fit(
    layer: str, norm: str, found: torch.Tensor, checkpoint: dict[str, torch.Tensor]
) -> tuple[float, Folded] | None:
    """(relative distance of the weight, the layer with `norm` folded in); None where they do not go together."""
    variance, mean = checkpoint[f"{norm}.running_var"].double(), checkpoint.get(f"{norm}.running_mean")
    weight, bias = checkpoint[f"{layer}.weight"].double(), checkpoint.get(f"{layer}.bias")
    if mean is None or weight.shape != found.shape:
        return None
    gain, shift = checkpoint.get(f"{norm}.weight"), checkpoint.get(f"{norm}.bias")
    best = None
    for axis in (0, 1):  # of transposed convolutions the output channels are the second
        if weight.shape[axis] != len(variance):
            continue
        for epsilon in _EPSILONS:
            scale = (1.0 if gain is None else gain.double()) / (variance + epsilon).sqrt()
            wanted = weight * scale.reshape([-1 if place == axis else 1 for place in range(weight.dim())])
            distance = float((found.double() - wanted).norm() / wanted.norm().clamp_min(1e-300))
            if distance > _ROUGH or (best is not None and distance >= best[0]):
                continue
            moved = ((0.0 if bias is None else bias.double()) - mean.double()) * scale
            moved = moved if shift is None else moved + shift.double()
            tensors = {f"{layer}.weight": wanted.float(), f"{layer}.bias": moved.float()}
            best = distance, Folded(layer, norm, tensors)
    return best
