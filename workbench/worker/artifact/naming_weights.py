"""How the parameters of an artifact differ from the checkpoint's, where the checkpoint itself is at hand.

Reads `checkpoint.safetensors`, which the golden worker lays beside somebody else's artifact; only tensors whose bits
differ are looked at. Pure but for that. Never changes a tensor.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import torch

from workbench.worker.tensorfile import TENSORFILE_DTYPES, load

CHECKPOINT = "checkpoint.safetensors"

CHECKPOINT_BYTES = 256 << 20
"""Of the model's tensors so many bytes are kept beside the artifact, the smallest tensors first."""

SAME = "the checkpoint's weights"
"""Begins the words of weights that are other numbers for the same thing."""

_WRITABLE = frozenset(name for name, _ in TENSORFILE_DTYPES.values())

_STATISTICS = ("running_mean", "running_var", "num_batches_tracked")


def kept(tensors: Iterable[tuple[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
    """Those tensors that fit into `CHECKPOINT_BYTES`, smallest first, on the CPU."""
    found, total = {}, 0
    for name, tensor in sorted(tensors, key=lambda pair: pair[1].numel() * pair[1].element_size()):
        total += tensor.numel() * tensor.element_size()
        if total > CHECKPOINT_BYTES:
            break
        if str(tensor.dtype).removeprefix("torch.") in _WRITABLE:
            found[name] = tensor.detach().cpu()
    return found


def checkpoint_of(stage: Path) -> dict[str, torch.Tensor]:
    """The tensors that lie beside the artifact; none for a bundle."""
    return load(str(stage / CHECKPOINT)) if (stage / CHECKPOINT).exists() else {}


def weights_words(
    own: dict[str, torch.Tensor], names: dict[str, str], held: int, checkpoint: dict[str, torch.Tensor]
) -> str:
    """What kind of difference it is, and its size in the first three tensors; empty where nothing can be said.

    own: the artifact's differing tensors by its names; names: those → the checkpoint's; held: how many
    tensors of the checkpoint the artifact has; checkpoint: values as far as they were kept.
    """
    known = {name: checkpoint[other] for name, other in names.items() if other in checkpoint}
    pairs = {name: (known[name], own[name]) for name in known if own[name].shape == known[name].shape}
    pairs = {name: pair for name, pair in pairs.items() if pair[1].layout is torch.strided and not pair[1].is_meta}
    if not pairs:
        return ""
    single = [f"{name}: {difference(*pair, checkpoint)}" for name, pair in list(pairs.items())[:3]]
    more = f"; and {len(pairs) - 3} more" if len(pairs) > 3 else ""
    return f"{_kind(pairs, held)}: {'; '.join(single)}{more}"


def _kind(pairs: dict[str, tuple[torch.Tensor, torch.Tensor]], total: int) -> str:
    """One word for all of it."""
    if all(name.rpartition(".")[2] in _STATISTICS for name in pairs):
        return "only running statistics of batch norm differ: it was trained, or run in train mode, since"
    if all(a.dtype != b.dtype and b.is_floating_point() and torch.equal(a.to(b.dtype), b) for a, b in pairs.values()):
        into = ", ".join(sorted({str(b.dtype)[6:] for _, b in pairs.values()}))
        return f"{SAME} cast to {into}"
    floating = [pair for pair in pairs.values() if pair[0].is_floating_point() and pair[0].dtype == pair[1].dtype]
    telling = [pair for pair in floating if pair[0].dim() > 1 and pair[0].numel() >= 8]
    for words, test in _GRIDS:
        if telling and all(test(*pair) for pair in floating):
            return words
    if len(pairs) * 2 > total or len(pairs) > 8:
        return f"stale or other weights, {len(pairs)} of {total} tensors differ"
    return f"{len(pairs)} of {total} tensors differ"


def difference(wanted: torch.Tensor, found: torch.Tensor, others: dict[str, torch.Tensor]) -> str:
    """How one tensor differs from another of its shape, in words."""
    if wanted.dtype != found.dtype:
        return f"{str(found.dtype)[6:]} in place of {str(wanted.dtype)[6:]}"
    if wanted.is_complex():
        return "other values"
    a, b = wanted.detach().cpu().double(), found.detach().cpu().double()
    delta = b - a
    changed = int((delta != 0).sum())
    if b.isnan().any() and not a.isnan().any():
        return f"{int(b.isnan().sum())} of {b.numel()} elements are NaN"
    if not b.any():
        return "all zeros"
    if b.numel() > 1 and bool((b == b.flatten()[0]).all()):  # as it was made: like many another
        return f"every element is {float(b.flatten()[0]):g}"
    for name, other in others.items():
        if other.shape == found.shape and other.dtype == found.dtype and torch.equal(other, found.cpu()):
            return f"the values of {name}"
    if a.dim() == 2 and a.shape[0] == a.shape[1] and torch.equal(a.t(), b):
        return "transposed"
    largest, rms = float(delta.abs().max()), float(a.square().mean().sqrt())
    if a.numel() == 1 and not found.is_floating_point():
        return f"{int(b)} in place of {int(a)}"
    if changed == 1:
        place = tuple((delta != 0).nonzero()[0].tolist())
        return f"one element of {a.numel()}, {list(place)}, is off by {float(delta[place]):+.3g}"
    ratio = float((a * b).sum() / a.square().sum()) if a.any() else 0.0
    if changed > 1 and float((delta - delta.mean()).abs().max()) <= 1e-3 * largest + 1e-7 * rms:
        return f"every element is off by {float(delta.mean()):+.3g}"
    if ratio and float((b - ratio * a).abs().max()) <= 1e-6 * max(rms, 1e-30) * max(1.0, abs(ratio)):
        return f"{ratio:.6g} times the checkpoint's"
    return f"max|Δ| {largest:.3g} in {changed} of {a.numel()} elements, RMS of the checkpoint's {rms:.3g}"


def _through(dtype: torch.dtype) -> Callable[[torch.Tensor, torch.Tensor], bool]:
    """Rounded to the nearest value of a dtype, or to either of the two where what was rounded is known to float32 only
    (batch norm folded in before)."""
    info = torch.finfo(dtype)

    def test(wanted: torch.Tensor, found: torch.Tensor) -> bool:
        if not torch.equal(found.to(dtype).to(found.dtype), found):
            return False
        a, b = wanted.detach().cpu().double(), found.detach().cpu().double()
        limit = 0.505 * info.eps * a.abs() + 2 * info.tiny * info.eps  # half a step, and the smallest there is
        return bool(((b - a).abs() <= limit).all())

    return test


def _few_levels(wanted: torch.Tensor, found: torch.Tensor) -> bool:
    """At most 256 values, evenly spaced, near the checkpoint's: an integer grid with one scale, or one a row."""
    if found.dim() < 2 or not _near(wanted, found):
        return _near(wanted, found)  # a bias may be rounded otherwise
    rows = found.detach().cpu().double().reshape(found.shape[0], -1)
    return _even(rows.reshape(-1)[: 1 << 16]) or (rows.shape[1] >= 4 and all(_even(row) for row in rows[:16]))


def _near(wanted: torch.Tensor, found: torch.Tensor) -> bool:
    delta = (found.double() - wanted.double()).abs().max()
    return bool(delta <= 0.1 * wanted.double().abs().max())


def _even(row: torch.Tensor) -> bool:
    """Whether all values are whole multiples of one step, at most 127 of them each way."""
    top = float(row.abs().max())
    if not top:
        return True
    for levels in (7, 127, 128):
        scaled = row / top * levels
        if float((scaled - scaled.round()).abs().max()) < 1e-3:
            return True
    steps = row.sort().values.diff()
    steps = steps[steps > 1e-6 * top]
    step = float(steps.min()) if steps.numel() else top
    scaled = row / step
    return bool(step > top / 300) and float((scaled - scaled.round()).abs().max()) < 0.02


_GRIDS: tuple[tuple[str, Callable[[torch.Tensor, torch.Tensor], bool]], ...] = (
    (f"{SAME} rounded to bfloat16", _through(torch.bfloat16)),
    (f"{SAME} rounded to float16", _through(torch.float16)),
    (f"{SAME} quantised to a grid of integers", _few_levels),
)
