"""Owns the chunks that a comparison looks at, and the arithmetic on them.

Carried into a bundle's verify.py: standard library and torch only. A leaf is seen as a matrix (leading dimensions ×
last); chunks are small copies of parts of it, so that a comparison of any layout needs little memory of its own.
"""

from __future__ import annotations

import bisect
import functools
import math
from collections.abc import Callable, Iterator

import torch

CHUNK_ELEMENTS = (1 << 15) - 1
"""Elements looked at together. Below at::internal::GRAIN_SIZE torch computes in one thread: no answer depends on the
number of threads, and on a busy machine nothing waits for another thread after each of thirty small operators, which
was measured to be ten times slower. The temporaries of a chunk (256 kB each as float64) stay in the cache."""

CHUNK_HEAT = (16, 48)
"""Most rows and columns of the heat map."""

_CHUNK_INTEGER = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
_CHUNK_UNSIGNED = ("float8_e8m0fnu",)
"""No sign bit: its patterns are not sign and magnitude."""

CHUNK_EDGES = tuple(float(f"1e{power}") for power in range(-15, 4))
"""Where one decade of `LeafDiff.decades` ends and the next begins."""

Wide = tuple[float, int]
"""m · 2**e: a sum that neither overflows nor vanishes where float64 would."""


def chunk_matrix(shape: tuple[int, ...]) -> tuple[int, int]:
    """Every leaf is seen as leading dimensions × last."""
    return (math.prod(shape[:-1]), shape[-1]) if shape else (1, 1)


def chunk_cell(rows: int, columns: int) -> tuple[int, int]:
    """Rows and columns of the leaf behind one cell of the heat map."""
    return -(-rows // CHUNK_HEAT[0]) or 1, -(-columns // CHUNK_HEAT[1]) or 1


def chunk_blocks(rows: int, columns: int, cell: tuple[int, int], parts: int = 1) -> Iterator[tuple[int, int, int, int]]:
    """Row and column ranges of chunks, row by row. Each covers whole cells of the heat map, or lies within one.

    `parts`: numbers in an element, 2 for complex.
    """
    high, wide = cell
    chunk = max(1, CHUNK_ELEMENTS // parts)
    tall = max(1, chunk // columns)
    row_step = high * (tall // high) or tall
    column_step = columns if columns <= chunk else (wide * (chunk // wide) or chunk)
    for top in chunk_steps(rows, row_step, high):
        for left in chunk_steps(columns, column_step, wide):
            yield (*top, *left)


def chunk_steps(total: int, step: int, cell: int) -> Iterator[tuple[int, int]]:
    start = 0
    while start < total:
        edge = total if step >= cell else (start // cell + 1) * cell
        stop = min(total, edge, start + step)
        yield start, stop
        start = stop


def chunk_device(a: torch.Tensor, b: torch.Tensor) -> torch.device:
    """Where to compute: on the GPU when both are there, else on the CPU (MPS has no float64)."""
    return a.device if a.device == b.device and a.device.type == "cuda" else torch.device("cpu")


def chunk_reader(tensor: torch.Tensor, columns: int, device: torch.device) -> Callable[..., torch.Tensor]:
    """A function from a chunk's ranges to its elements, contiguous, [rows, columns] of that chunk."""
    leading = tensor.shape[:-1]
    try:
        matrix = tensor.view(-1, columns) if leading else tensor.reshape(1, columns)
    except RuntimeError:  # strides that no matrix has: gather the rows of each chunk instead

        def gather(top: int, bottom: int, left: int, right: int) -> torch.Tensor:
            places = torch.unravel_index(torch.arange(top, bottom, device=tensor.device), leading)
            return tensor[..., left:right][places].to(device).resolve_conj().resolve_neg().contiguous()

        return gather

    def cut(top: int, bottom: int, left: int, right: int) -> torch.Tensor:
        return matrix[top:bottom, left:right].to(device).resolve_conj().resolve_neg().contiguous()

    return cut


# Arithmetic on chunks


def chunk_real(values: torch.Tensor) -> torch.Tensor:
    """Values as float64 or complex128."""
    return values.to(torch.complex128 if values.is_complex() else torch.float64)


def chunk_whole(values: torch.Tensor) -> torch.Tensor:
    """Integers and booleans as int64 in their own order; uint64 is shifted down by 2**63, which keeps differences."""
    if values.dtype == torch.uint64:
        return values.view(torch.int64) ^ torch.iinfo(torch.int64).min
    return values.to(torch.int64)


def chunk_distance(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """|b − a| of int64 as float64: exact before the one rounding at the end."""
    delta = b - a
    distance = delta.to(torch.float64).abs()
    wrapped = ((a ^ b) & (delta ^ b)) < 0
    if wrapped.any():
        distance = torch.where(wrapped, (b.to(torch.float64) - a.to(torch.float64)).abs(), distance)
    return distance


def chunk_ulps(bits_a: torch.Tensor, bits_b: torch.Tensor, changed: torch.Tensor) -> int:
    """Largest distance in representable numbers; the arguments are bit patterns and their exclusive or."""
    gap = (bits_a - bits_b).abs_()  # of one sign: fits, for both patterns have the same top bit
    crossing = changed < 0
    if not crossing.any():
        return int(gap.max())
    best = int(gap.masked_fill_(crossing, 0).max())
    mask = torch.iinfo(bits_a.dtype).max
    one, other = (bits.masked_select(crossing) & mask for bits in (bits_a, bits_b))  # distances from zero
    far = int((one.to(torch.float64) + other.to(torch.float64)).argmax())
    return max(best, int(one[far]) + int(other[far]))


def chunk_bits(values: torch.Tensor) -> torch.Tensor:
    """The bit patterns of floating numbers as signed integers; complex: [..., 2]."""
    parts = torch.view_as_real(values) if values.is_complex() else values
    return parts.view(_CHUNK_INTEGER[parts.element_size()])


def chunk_ordered(dtype: torch.dtype) -> bool:
    """Whether patterns of `dtype` are sign and magnitude, in the order of the values, so that ULPs can be counted."""
    return str(dtype).removeprefix("torch.") not in _CHUNK_UNSIGNED


def chunk_top(values: torch.Tensor) -> float:
    return float(values.max())


def chunk_dot(a: torch.Tensor, b: torch.Tensor) -> float:
    if a.is_complex():
        a, b = torch.view_as_real(a), torch.view_as_real(b)
    return float((a * b).sum())  # torch.dot would ask MKL, which has threads of its own


def chunk_rescaled(values: torch.Tensor, wide: bool = True) -> tuple[torch.Tensor, int]:
    """(v · 2**-k, k) with the largest |v| near 1, so that squares stay in float64's range; as it is unless `wide`."""
    if not wide:
        return values, 0
    power = math.frexp(chunk_top(values.abs()))[1]  # 0 for infinity
    half = -power // 2  # in two steps: 2**1074 is no float64
    return values * math.ldexp(1.0, half) * math.ldexp(1.0, -power - half), power


def chunk_plus(total: Wide, more: Wide) -> Wide:
    if more[0] == 0.0:
        return total
    if total[0] == 0.0:
        return more
    top = max(total[1], more[1])
    return math.ldexp(total[0], total[1] - top) + math.ldexp(more[0], more[1] - top), top


def chunk_root(total: Wide, count: int) -> float:
    """Square root of the mean of `count` squares whose sum is `total`; its exponent is even by construction."""
    return chunk_number((math.sqrt(total[0] / count), total[1] // 2)) if count else 0.0


def chunk_number(value: Wide) -> float:
    try:
        return math.ldexp(*value)
    except OverflowError:  # above float64's range by a rounding
        return math.inf


def chunk_decades(distance: torch.Tensor) -> torch.Tensor:
    """How many fall below 1e-15, into each decade from there, and above 1e3: 20 counts; distances are not negative.

    The binary exponent tells the decade but for one edge within it. torch.bucketize and indexing with a tensor would
    do the same in many threads, whatever the size.
    """
    decades, edges = _chunk_tables(distance.device)
    exponent = distance.reshape(-1).view(torch.int64) >> 52
    decade = decades.gather(0, exponent) + (distance.reshape(-1) >= edges.gather(0, exponent))
    return torch.bincount(decade, minlength=len(CHUNK_EDGES) + 1)


@functools.cache
def _chunk_tables(device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """By biased binary exponent: the decade of its smallest number, and the edge above that (NaN: none)."""
    powers = [math.ldexp(1.0, exponent - 1023) if exponent else 0.0 for exponent in range(2047)]
    decades = [bisect.bisect_right(CHUNK_EDGES, power) for power in powers]
    edges = [
        CHUNK_EDGES[decade] if decade < len(CHUNK_EDGES) and CHUNK_EDGES[decade] < 2 * power else math.nan
        for decade, power in zip(decades, powers)  # noqa: B905 (made together)
    ]
    decades.append(len(CHUNK_EDGES))  # infinity
    edges.append(math.nan)
    return torch.tensor(decades, device=device), torch.tensor(edges, dtype=torch.float64, device=device)


def chunk_fold(values: torch.Tensor, dim: int, size: int) -> torch.Tensor:
    """Maxima of runs of `size` along `dim`; the last run may be shorter."""
    length = values.shape[dim]
    if length <= size:
        return values.amax(dim, keepdim=True)
    count = length // size
    whole = values.narrow(dim, 0, count * size)
    folded = whole.reshape(*values.shape[:dim], count, size, *values.shape[dim + 1 :]).amax(dim + 1)
    if count * size == length:
        return folded
    return torch.cat((folded, values.narrow(dim, count * size, length - count * size).amax(dim, keepdim=True)), dim)
