"""Comparing any two tensors, against a slow oracle: random dtypes, shapes, layouts, bit patterns, chunk sizes."""

from __future__ import annotations

import math
from collections.abc import Callable
from unittest import mock

import pytest
import torch
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from workbench.protocol.runs import IDENTICAL, LeafDiff
from workbench.worker.judge import chunks
from workbench.worker.judge import compare as compare_module
from workbench.worker.judge.compare import compare_leaf

from .slow_oracle import elements, expected

BITS = {
    torch.float16: (torch.int16, 10, 5),
    torch.bfloat16: (torch.int16, 7, 8),
    torch.float32: (torch.int32, 23, 8),
    torch.float64: (torch.int64, 52, 11),
}
"""Integer of the same width, bits of the fraction, bits of the exponent."""
PARTS = {torch.complex64: torch.float32, torch.complex128: torch.float64}
WHOLE = (torch.int8, torch.uint8, torch.int16, torch.int32, torch.int64, torch.bool)
DTYPES = (*BITS, *PARTS, *WHOLE)


def turned(tensor: torch.Tensor) -> tuple[int, ...]:
    return tuple(reversed(range(tensor.ndim)))


LAYOUTS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "contiguous": lambda t: t,
    "reversed dimensions": lambda t: t.permute(turned(t)).contiguous().permute(turned(t)),
    "every other": lambda t: torch.stack((t, torch.zeros_like(t)), -1)[..., 0],
    "with an offset": lambda t: torch.cat((torch.zeros_like(t).reshape(-1)[:1], t.reshape(-1)))[1:].view(t.shape),
}

FAST = settings(
    max_examples=100,
    deadline=None,  # the first comparison of a process is slow, and a busy machine too
    derandomize=True,  # the fast suite asks the same every time
    database=None,
    phases=[Phase.generate],  # shrinking takes minutes: the long test does it
    suppress_health_check=[HealthCheck.too_slow],
)
LONG = settings(FAST, max_examples=3_000, derandomize=False, phases=list(Phase), print_blob=True)


@st.composite
def patterns(draw: st.DrawFn, dtype: torch.dtype) -> int:
    """The bit pattern of one floating number: special, ordinary, or anything."""
    _, fraction, exponent = BITS[dtype]
    top = (1 << exponent) - 1
    sign = draw(st.booleans()) << (fraction + exponent)
    kind = draw(st.sampled_from(("zero", "subnormal", "infinite", "NaN", "one size", "ordinary", "any")))
    body = draw(st.integers(0, (1 << fraction) - 1))
    power = {
        "zero": 0,
        "subnormal": 0,
        "infinite": top,
        "NaN": top,
        "one size": top >> 1,
        "ordinary": (top >> 1) + draw(st.integers(-8, 4)),
        "any": draw(st.integers(0, top)),
    }[kind]
    if kind in ("zero", "infinite"):
        body = 0
    return sign | power << fraction | (body or kind == "NaN")


@st.composite
def changes(draw: st.DrawFn, bits: int, dtype: torch.dtype) -> int:
    """What another side may have in the place of `bits`: the same, a neighbour, or something else."""
    kind = draw(st.sampled_from(("same", "same", "near", "sign", "else")))
    _, fraction, exponent = BITS[dtype]
    magnitude = bits & ((1 << (fraction + exponent)) - 1)
    if kind == "near":
        step = draw(st.integers(-40, 40))
        return (bits - magnitude) | min(max(0, magnitude + step), (1 << (fraction + exponent)) - 1)
    if kind == "sign":
        return bits ^ (1 << (fraction + exponent))
    return bits if kind == "same" else draw(patterns(dtype))


@st.composite
def pairs(draw: st.DrawFn) -> tuple[torch.Tensor, torch.Tensor]:
    """Two tensors of one dtype and shape, each in a layout of its own."""
    dtype = draw(st.sampled_from(DTYPES))
    shape = tuple(draw(st.lists(st.integers(1, 9), max_size=3)))
    count = math.prod(shape)
    if dtype in WHOLE:
        ends = (0, 1) if dtype == torch.bool else (torch.iinfo(dtype).min, torch.iinfo(dtype).max)
        numbers = st.integers(*ends) | st.sampled_from(ends) | st.integers(0, 1)
        one = draw(st.lists(numbers, min_size=count, max_size=count))
        other = [draw(st.just(value) | numbers) for value in one]
        sides = [torch.tensor(values, dtype=dtype).reshape(shape) for values in (one, other)]
    else:
        part = PARTS.get(dtype, dtype)
        count *= 2 if dtype in PARTS else 1
        one = [draw(patterns(part)) for _ in range(count)]
        other = [draw(changes(bits, part)) for bits in one]
        sides = [tensor_of(values, part).reshape(-1) for values in (one, other)]
        if dtype in PARTS:
            sides = [torch.view_as_complex(side.reshape(-1, 2)) for side in sides]
        sides = [side.reshape(shape) for side in sides]
    a, b = (LAYOUTS[draw(st.sampled_from(sorted(LAYOUTS)))](side) for side in sides)
    if dtype in PARTS and draw(st.booleans()):
        a, b = a.conj(), b.conj()
    if shape and draw(st.booleans()):
        repeat = (draw(st.integers(1, 3)),)
        a, b = a.expand(*repeat, *shape), b.expand(*repeat, *shape)
    return a, b


def tensor_of(values: list[int], dtype: torch.dtype) -> torch.Tensor:
    integer, fraction, exponent = BITS[dtype]
    half = 1 << (fraction + exponent)
    signed = [value - 2 * half if value >= half else value for value in values]
    return torch.tensor(signed, dtype=integer).view(dtype)


def check(sides: tuple[torch.Tensor, torch.Tensor], chunk: int, large: int) -> None:
    """Every metric of one comparison, looked at in chunks of `chunk` elements, in bands from `large` on."""
    a, b = sides
    before = [side.clone() for side in sides]
    with mock.patch.object(chunks, "CHUNK_ELEMENTS", chunk), mock.patch.object(compare_module, "COMPARE_LARGE", large):
        diff = compare_leaf("output", a, b)
    for side, kept in zip(sides, before, strict=True):
        assert [one.bits_a for one in elements(side, kept)] == [one.bits_b for one in elements(side, kept)]
    wanted = expected(a, b)
    if wanted.near:
        wanted.exact.pop("allclose")
    percentile = wanted.exact.pop("p99_ulp")
    assert {name: getattr(diff, name) for name in wanted.exact} == wanted.exact
    if percentile <= 32:
        assert diff.p99_ulp == percentile
    else:
        assert percentile * 15 / 16 <= diff.p99_ulp <= percentile * (1 + 2**-23)
    for name, value in wanted.numbers.items():
        found = getattr(diff, name)
        size = 1e-9 if name == "cosine" else 5e-324
        assert found == pytest.approx(value, rel=1e-9, abs=size), name
    assert (diff.mark == IDENTICAL) == (wanted.exact["mismatched"] == 0)
    check_derived(diff)
    if diff.mark != IDENTICAL:
        place = elements(a[diff.worst_index], b[diff.worst_index])[0]
        assert place.differs
        assert place.distance() == pytest.approx(diff.max_abs, rel=1e-12)
        assert max(map(max, diff.heat)) == diff.max_abs


def check_derived(diff: LeafDiff) -> None:
    """What follows from other metrics."""
    if diff.scale > 0 and math.isfinite(diff.rmse):
        assert diff.noise_rms == pytest.approx(diff.rmse / diff.scale)
        if diff.rmse / diff.scale > 0:
            assert diff.snr_db == pytest.approx(20 * math.log10(diff.scale / diff.rmse), abs=1e-6)
    if diff.rmse == 0.0:
        assert diff.snr_db == math.inf
    assert sum(diff.decades) == diff.elements
    clashing = diff.max_abs == math.inf and diff.noise_multiple == math.inf
    assert clashing == ("NaN or infinity at" in diff.reason)


CHUNK = st.sampled_from((1, 2, 5, 16, 64, 32767))
LARGE = st.sampled_from((1, 8, 1 << 22))


@FAST
@given(pairs(), CHUNK, LARGE)
def test_every_metric_is_the_oracle_s(sides: tuple[torch.Tensor, torch.Tensor], chunk: int, large: int) -> None:
    check(sides, chunk, large)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@LONG
@given(pairs(), CHUNK, LARGE)
def test_every_metric_is_the_oracle_s_at_length(
    sides: tuple[torch.Tensor, torch.Tensor], chunk: int, large: int
) -> None:
    check(sides, chunk, large)


@pytest.mark.parametrize("shape", [(0,), (3, 0), (0, 5), (2, 0, 4)])
@pytest.mark.parametrize("dtype", DTYPES)
def test_nothing_is_identical_to_nothing(dtype: torch.dtype, shape: tuple[int, ...]) -> None:
    diff = compare_leaf("output", torch.zeros(shape, dtype=dtype), torch.ones(shape, dtype=dtype))
    assert (diff.mark, diff.elements, diff.mismatched, diff.top1) == (IDENTICAL, 0, 0, -1.0)


NAN = math.nan


@pytest.mark.parametrize("dtype", tuple(BITS))
@pytest.mark.parametrize(
    ("a", "b"),
    [
        ([[0.0, 3.0, 1.0, 2.0]], [[0.0, 3.0, 1.0, 2.5]]),  # zeros in a part that is the same
        ([[9.0, 1, 2, 3, 4, 5, 6]], [[3.0, 4, 5, 6, 7, NAN, 0]]),  # NaN stands above what was the largest
        ([[9.0, 1, 2, 3, 4, 5, 6]], [[NAN, 4, 5, 6, 7, 8, NAN]]),
        ([[9.0, 1, 2, 3, 4, 5, 6]], [[4.0, 4, 4, 4, 4, 4, 5]]),  # equals do not stand above
        ([[1.0, -1.0, NAN, 2.0]] * 60, [[-1.0, 1.0, NAN, 2.0]] * 60),  # NaN is no distance of 0
    ],
)
@pytest.mark.parametrize("chunk", [2, 64])
def test_what_a_random_pair_seldom_has(
    a: list[list[float]], b: list[list[float]], dtype: torch.dtype, chunk: int
) -> None:
    check((torch.tensor(a, dtype=dtype), torch.tensor(b, dtype=dtype)), chunk, 1 << 22)
