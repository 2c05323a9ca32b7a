"""What is in a tensor, as numbers: moments, extremes, zeros, NaN, a histogram. Pure: a tensor in, a record out.

It reads values in pieces and never changes one; a tensor that cannot be read says why in the place of numbers.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch

from workbench.protocol.inside import HISTOGRAM_BINS, TensorStats
from workbench.protocol.text import shorten

PIECE = 1 << 18
"""Elements that are looked at together: 2 MB as float64, which the caches hold."""
MOST = 1 << 25
"""Elements beyond which only the first are looked at; an expanded tensor may claim any number."""
SAMPLE = 8
"""Elements that are printed."""
_SAMPLE_TEXT = 32
"""Characters of one printed element."""

_NOTHING = (math.nan, math.nan, math.nan, math.nan, math.nan)


def statistics(path: str, tensor: torch.Tensor, check: Callable[[], None] = lambda: None) -> TensorStats:
    """The statistics of `tensor` (any dtype, shape, layout and device); `check` is called between pieces.

    Mean, standard deviation (of the population), RMS and extremes are of the finite elements, in float64.
    Never raises for what a tensor is.
    """
    bare = TensorStats(
        path,
        str(tensor.dtype).removeprefix("torch."),
        _shape(tensor),
        _elements(tensor),
        *_NOTHING,
        device=str(tensor.device),
        requires_grad=tensor.requires_grad,
    )
    if tensor.device.type == "meta":
        return _noted(bare, "on the meta device: it has no values")
    try:
        with torch.inference_mode(False), torch.no_grad():
            values, note = _readable(tensor.detach())
            return _measured(bare, values, note, check)
    except (RuntimeError, NotImplementedError, TypeError, ValueError) as problem:
        return _noted(bare, f"its values cannot be read: {shorten(str(problem).splitlines()[0], 120) or problem!r}")


def _measured(bare: TensorStats, values: torch.Tensor, note: str, check: Callable[[], None]) -> TensorStats:
    sums = _Sums()
    for piece in _pieces(values, MOST):
        check()
        sums.first(piece)
    if sums.seen < values.numel():
        note = "; ".join(part for part in (note, f"of the first {sums.seen:,} elements") if part)
    sums.between()
    for piece in _pieces(values, MOST):
        check()
        sums.second(piece)
    return _replaced(bare, sums, tuple(_printed(values)), note)


@dataclass
class _Sums:
    """Two passes over the pieces: the mean and the range first, then what is taken from the mean."""

    seen: int = 0
    zeros: int = 0
    nan: int = 0
    inf: int = 0
    finite: int = 0
    low: float = math.inf
    high: float = -math.inf
    mean: float = 0.0
    scale: float = 1.0
    """Divides values before they are squared, so that huge ones do not overflow and tiny ones do not vanish."""
    squares: float = 0.0
    deviations: float = 0.0

    def __post_init__(self) -> None:
        self.bins = torch.zeros(HISTOGRAM_BINS, dtype=torch.int64)

    def first(self, piece: torch.Tensor) -> None:
        wide, finite = _wide(piece)
        self.seen += piece.numel()
        self.zeros += wide.numel() - int(wide.count_nonzero())
        if finite.numel() < wide.numel():
            nan = int(wide.isnan().sum())
            self.nan += nan
            self.inf += wide.numel() - finite.numel() - nan
        if finite.numel():
            low, high = (float(bound) for bound in finite.aminmax())
            self.low, self.high = min(self.low, low), max(self.high, high)
            before, self.finite = self.finite, self.finite + finite.numel()
            self.mean += (_mean(finite, low, high) - self.mean) * (finite.numel() / (before + finite.numel()))

    def between(self) -> None:
        largest = max(abs(self.low), abs(self.high)) if self.finite else 1.0
        ordinary = largest == 0 or 1e-140 < largest < 1e140
        self.scale = 1.0 if ordinary or largest < 1e-300 else largest

    def second(self, piece: torch.Tensor) -> None:
        finite = _wide(piece)[1]
        if not finite.numel():
            return
        scaled = finite if self.scale == 1.0 else finite / self.scale
        self.squares += float(scaled.dot(scaled))
        off = scaled - self.mean / self.scale
        self.deviations += float(off.dot(off))
        self.bins += _binned(finite, self.low, self.high)

    @property
    def std(self) -> float:
        return self.scale * math.sqrt(self.deviations / self.finite) if self.finite else math.nan

    @property
    def rms(self) -> float:
        return self.scale * math.sqrt(self.squares / self.finite) if self.finite else math.nan


def _mean(finite: torch.Tensor, low: float, high: float) -> float:
    """Of float64 from `low` to `high`; a sum of huge ones would overflow, so they are made smaller first."""
    if max(abs(low), abs(high)) < 1e290:
        return float(finite.mean())
    return float((finite * 2.0**-64).mean()) * 2.0**64


def _wide(piece: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The piece as float64 on the CPU, and its finite elements alone."""
    wide = piece.to("cpu", torch.float64)
    if math.isfinite(float(wide.sum())):  # a hundred times cheaper than to ask each; huge ones only overflow it
        return wide, wide
    finite = wide.isfinite()
    return wide, wide if bool(finite.all()) else wide[finite]


def _binned(finite: torch.Tensor, low: float, high: float) -> torch.Tensor:
    """Elements in equal steps from `low` to `high`; by halves where the whole range is more than a float holds."""
    if math.isinf(high - low):
        finite, low, high = finite / 2, low / 2, high / 2
    width = high - low
    if width <= 0:
        places = torch.zeros(finite.numel(), dtype=torch.int64)
    else:
        share = (finite - low).div_(width)
        places = share.mul_(HISTOGRAM_BINS).clamp_(0, HISTOGRAM_BINS - 1).to(torch.int64)
    return torch.bincount(places, minlength=HISTOGRAM_BINS)


def _replaced(bare: TensorStats, sums: _Sums, sample: tuple[str, ...], note: str) -> TensorStats:
    known = sums.finite > 0
    return TensorStats(
        bare.path,
        bare.dtype,
        bare.shape,
        bare.elements,
        sums.mean if known else math.nan,
        sums.std,
        sums.low if known else math.nan,
        sums.high if known else math.nan,
        sums.rms,
        sums.zeros,
        sums.nan,
        sums.inf,
        tuple(sums.bins.tolist()) if known else (),
        sample,
        bare.device,
        bare.requires_grad,
        note,
    )


def _noted(bare: TensorStats, note: str) -> TensorStats:
    return TensorStats(
        bare.path,
        bare.dtype,
        bare.shape,
        bare.elements,
        *_NOTHING,
        device=bare.device,
        requires_grad=bare.requires_grad,
        note=note,
    )


def _readable(tensor: torch.Tensor) -> tuple[torch.Tensor, str]:
    """A strided tensor of real numbers, and what it is of the one that was given."""
    note = ""
    if tensor.layout is not torch.strided:
        sparse = str(tensor.layout).removeprefix("torch.")
        if tensor.layout is torch.sparse_coo:
            tensor = tensor.coalesce().values()
        elif "sparse" in sparse:
            tensor = tensor.values()
        else:
            tensor = tensor.to_dense()
        note = f"{sparse}: of its {tensor.numel():,} stored values" if "sparse" in sparse else sparse
    if tensor.is_quantized:
        tensor, note = tensor.dequantize(), "quantised: of the values it stands for"
    if tensor.is_complex():
        return tensor.resolve_conj().abs(), "complex: of the absolute values"
    return tensor, note


def _pieces(values: torch.Tensor, most: int) -> Iterator[torch.Tensor]:
    """Flat pieces of at most `PIECE` elements, at most `most` elements together, in the order of the elements."""
    left = most
    for piece in _all_pieces(values):
        if left <= 0:
            return
        yield piece[:left]
        left -= piece.numel()


def _all_pieces(values: torch.Tensor) -> Iterator[torch.Tensor]:
    if values.numel() <= PIECE:
        if values.numel():
            yield values.reshape(-1)
    elif values.is_contiguous():
        yield from torch.split(values.view(-1), PIECE)
    else:  # rows together as far as they fit: an expanded vector is a million million rows
        rows = max(1, PIECE * values.shape[0] // values.numel())
        for start in range(0, values.shape[0], rows):
            yield from _all_pieces(values[start : start + rows] if rows > 1 else values[start])


def _printed(values: torch.Tensor) -> Iterator[str]:
    first = next(_pieces(values, SAMPLE), None)
    for one in [] if first is None else first.to("cpu").tolist():
        yield shorten(f"{one:.6g}" if isinstance(one, float) else str(one), _SAMPLE_TEXT)


def _shape(tensor: torch.Tensor) -> tuple[int, ...]:
    return () if tensor.is_nested else tuple(int(size) for size in tensor.shape)


def _elements(tensor: torch.Tensor) -> int:
    return int(tensor.numel())
