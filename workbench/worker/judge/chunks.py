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

CHUNK_KEYS = 2048
"""Binary exponents of float64."""

CHUNK_ULP_SHIFT = 23 - 4
"""Bits of a float32's pattern below its exponent and the 4 upper bits of its fraction."""

CHUNK_ULP_KEYS = (127 + 65) << 4
"""Patterns of whole numbers up to 2**64 without those bits."""

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


def chunk_ulps(bits_a: torch.Tensor, bits_b: torch.Tensor, changed: torch.Tensor) -> tuple[int, torch.Tensor]:
    """Largest distance in representable numbers, and all distances counted by the key of `chunk_quantile`.

    The arguments are bit patterns and their exclusive or, with a last dimension of 2 for complex numbers, whose
    distance is the larger of both components.
    """
    gap = (bits_a - bits_b).abs_()  # of one sign: fits, for both patterns have the same top bit
    crossing = None if int(changed.min()) >= 0 else changed < 0
    best = int((gap if crossing is None else gap.masked_fill_(crossing, 0)).max())
    size = gap.to(torch.float32)
    if crossing is not None:
        mask = torch.iinfo(bits_a.dtype).max
        one, other = (bits.masked_select(crossing) & mask for bits in (bits_a, bits_b))  # distances from zero
        far = int((one.to(torch.float64) + other.to(torch.float64)).argmax())
        best = max(best, int(one[far]) + int(other[far]))
        size.masked_scatter_(crossing, one.to(torch.float32) + other.to(torch.float32))
    if size.dim() > 2:
        size = size.amax(-1)
    keys = size.reshape(-1).view(torch.int32).bitwise_right_shift_(CHUNK_ULP_SHIFT)
    return best, torch.bincount(keys, minlength=CHUNK_ULP_KEYS)


def chunk_quantile(keys: torch.Tensor, share: float) -> int:
    """The smallest distance that `share` of those counted in `keys` do not exceed; 0 when none was counted.

    A key is the upper part of a whole number's float32 pattern, whose exponent and 4 bits of fraction are a
    logarithmic scale by themselves: whole numbers up to 32 have keys of their own.
    """
    wanted, counts = math.ceil(share * int(keys.sum())), keys.cpu().cumsum(0)
    if not wanted:
        return 0
    key = int(torch.searchsorted(counts, wanted))
    return int(torch.tensor(key << CHUNK_ULP_SHIFT, dtype=torch.int32).view(torch.float32))


def chunk_bits(values: torch.Tensor) -> torch.Tensor:
    """The bit patterns of floating numbers as signed integers; complex: [..., 2]."""
    parts = torch.view_as_real(values) if values.is_complex() else values
    return parts.view(_CHUNK_INTEGER[parts.element_size()])


def chunk_ordered(dtype: torch.dtype) -> bool:
    """Whether patterns of `dtype` are sign and magnitude, in the order of the values, so that ULPs can be counted."""
    return str(dtype).removeprefix("torch.") not in _CHUNK_UNSIGNED


def chunk_size(values: torch.Tensor) -> torch.Tensor:
    """|v| as float64, without a sign also where it is NaN."""
    size = values.abs()
    if size.device.type != "cpu":  # CUDA's NaN of float64 has the sign bit, and its abs leaves NaN as it is
        size.view(torch.int64).bitwise_and_(torch.iinfo(torch.int64).max)
        return size
    return size.abs_() if values.is_complex() else size


def chunk_top(values: torch.Tensor) -> float:
    """The largest of float64 numbers without a sign. One that is not finite, or NaN, makes it infinite or NaN, but for
    NaN with a sign (0/0 on some processors), which counts as less than everything."""
    return float(values.view(torch.int64).amax().view(torch.float64))  # integers have the faster kernel


def chunk_dot(a: torch.Tensor, b: torch.Tensor) -> float:
    if a.is_complex():
        a, b = torch.view_as_real(a), torch.view_as_real(b)
    if a is b:
        return float(torch.linalg.vector_norm(a)) ** 2
    return float((a * b).sum())  # torch.dot would ask MKL, which has threads of its own


def chunk_rescaled(values: torch.Tensor, wide: bool = True) -> tuple[torch.Tensor, int]:
    """(v · 2**-k, k) with the largest |v| near 1, so that squares stay in float64's range; as it is unless `wide`."""
    if not wide:
        return values, 0
    power = math.frexp(chunk_top(chunk_size(values)))[1]  # 0 for infinity
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


def chunk_keys(distance: torch.Tensor) -> torch.Tensor:
    """The distances counted by the key that `chunk_decades` understands; float64 or float32, none negative or NaN.

    The key is the binary exponent, or the next one for what lies above the edge of a decade within its exponent:
    adding what the edge's fraction lacks to the next power of two carries into the exponent. Zeros have key 0.
    torch.bucketize and indexing with a tensor would do this in many threads, whatever the size.
    """
    narrow = distance.dtype == torch.float32
    pattern = distance.reshape(-1).view(torch.int32 if narrow else torch.int64)
    bits = 23 if narrow else 52
    carry = _chunk_carry(distance.device, bits).index_select(0, pattern >> bits)
    keys = torch.bincount(carry.add_(pattern).bitwise_right_shift_(bits), minlength=256 if narrow else CHUNK_KEYS)
    if not narrow:
        return keys
    wide = keys.new_zeros(CHUNK_KEYS)
    wide[1023 - 127 : 1023 + 129] = keys
    wide[0] = keys[0]
    wide[1023 - 127] = 0
    return wide


def chunk_decades(keys: torch.Tensor) -> list[int]:
    """How many of what `chunk_keys` counted fall below 1e-15, into each decade from there, and above 1e3: 20 counts."""
    decades = [0] * (len(CHUNK_EDGES) + 1)
    for key, count in enumerate(keys.tolist()):
        if count:
            decades[bisect.bisect_right(CHUNK_EDGES, _chunk_power(key))] += count
    return decades


@functools.cache
def _chunk_carry(device: torch.device, bits: int) -> torch.Tensor:
    """By biased binary exponent: what carries a number's pattern into the next one if it reaches the edge there.

    `bits` of a fraction: 52 for float64, 23 for float32, for which the edges are rounded up.
    """
    bias, dtype = (127, torch.int32) if bits == 23 else (1023, torch.int64)
    carry = [0] * (2 * bias + 2)
    for edge in CHUNK_EDGES:
        fraction, exponent = math.frexp(edge)  # edge = fraction · 2**exponent, 0.5 ≤ fraction < 1
        if fraction > 0.5:  # otherwise the edge is where the exponent begins
            carry[exponent - 1 + bias] = (1 << bits) - math.ceil(math.ldexp(2 * fraction - 1, bits))
    return torch.tensor(carry, dtype=dtype, device=device)


def _chunk_power(key: int) -> float:
    """The smallest number of a biased binary exponent; 0 for that of zeros."""
    return 0.0 if not key else math.ldexp(1.0, key - 1023) if key < CHUNK_KEYS - 1 else math.inf


def chunk_fold(values: torch.Tensor, dim: int, size: int) -> torch.Tensor:
    """Maxima of runs of `size` along `dim`; the last run may be shorter."""
    length = values.shape[dim]
    if size == 1 or length == 1:
        return values
    if length <= size:
        return values.amax(dim, keepdim=True)
    count = length // size
    whole = values.narrow(dim, 0, count * size)
    folded = whole.reshape(*values.shape[:dim], count, size, *values.shape[dim + 1 :]).amax(dim + 1)
    if count * size == length:
        return folded
    return torch.cat((folded, values.narrow(dim, count * size, length - count * size).amax(dim, keepdim=True)), dim)
