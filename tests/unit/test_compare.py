"""Measuring differences, against a slow oracle in Python's own exact arithmetic."""

from __future__ import annotations

import math
import struct
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import pytest
import torch

from workbench.protocol.runs import BEYOND, IDENTICAL, INCOMPARABLE, LeafDiff
from workbench.worker.judge import chunks
from workbench.worker.judge import compare as compare_module
from workbench.worker.judge.compare import compare, compare_leaf, relative_error
from workbench.worker.judge.leaves import flatten

INF, NAN = math.inf, math.nan


def leaf(a: Any, b: Any, dtype: torch.dtype = torch.float32) -> LeafDiff:
    return compare_leaf("output", torch.tensor(a, dtype=dtype), torch.tensor(b, dtype=dtype))


def pair(shape: tuple[int, ...], dtype: torch.dtype = torch.float32, error: float = 1e-3) -> tuple[Any, Any]:
    generator = torch.Generator().manual_seed(len(shape))
    a = torch.randn(shape, generator=generator, dtype=torch.float64)
    return a.to(dtype), (a + error * torch.randn(shape, generator=generator, dtype=torch.float64)).to(dtype)


def decade(delta: float) -> int:
    return 0 if delta == 0 else min(20, max(1, sum(delta >= float(f"1e{power}") for power in range(-16, 4))))


def check_against_oracle(diff: LeafDiff, a: torch.Tensor, b: torch.Tensor) -> None:
    """Every metric again, element by element in exact fractions."""
    xs, ys = a.flatten().tolist(), b.flatten().tolist()
    deltas = [abs(Fraction(y) - Fraction(x)) for x, y in zip(xs, ys, strict=True)]
    count = len(xs)
    mean_square = sum(delta * delta for delta in deltas) / count
    scale_square = sum(Fraction(x) ** 2 for x in xs) / count
    assert diff.max_abs == pytest.approx(float(max(deltas)), rel=1e-12)
    assert diff.mean_abs == pytest.approx(float(sum(deltas) / count), rel=1e-12)
    assert diff.rmse == pytest.approx(math.sqrt(mean_square), rel=1e-12)
    assert diff.scale == pytest.approx(math.sqrt(scale_square), rel=1e-12)
    assert diff.peak == max(abs(x) for x in xs)
    relative = [float(delta / abs(Fraction(x))) for delta, x in zip(deltas, xs, strict=True) if x]
    assert diff.max_rel == pytest.approx(max(relative, default=0.0), rel=1e-12)
    inner = sum(Fraction(x) * Fraction(y) for x, y in zip(xs, ys, strict=True))
    lengths = math.sqrt(sum(Fraction(x) ** 2 for x in xs)) * math.sqrt(sum(Fraction(y) ** 2 for y in ys))
    assert diff.cosine == pytest.approx(float(inner) / lengths, abs=1e-12)
    assert diff.snr_db == pytest.approx(10 * math.log10(float(scale_square / mean_square)))
    histogram = [0] * 21
    for delta in deltas:
        histogram[decade(float(delta))] += 1
    assert list(diff.decades) == histogram
    assert diff.mismatched == sum(x != y for x, y in zip(xs, ys, strict=True))
    assert abs(a[diff.worst_index].item() - b[diff.worst_index].item()) == pytest.approx(diff.max_abs)
    assert diff.allclose == torch.allclose(b, a)


@pytest.mark.parametrize("shape", [(7,), (3, 5), (40, 100), (2, 3, 4, 5), (1, 1)])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_metrics_agree_with_the_oracle(shape: tuple[int, ...], dtype: torch.dtype) -> None:
    a, b = pair(shape, dtype, 3e-2)
    diff = compare_leaf("output", a, b)
    check_against_oracle(diff, a, b)
    assert (diff.mark, diff.reason, diff.elements, diff.shape) == (BEYOND, "", a.numel(), shape)
    wide = [t.reshape(-1, shape[-1]).double() for t in (a, b)]
    top1 = float((wide[0].argmax(-1) == wide[1].argmax(-1)).double().mean())
    assert diff.top1 == (top1 if shape and shape[-1] >= 2 else -1.0)


@pytest.mark.parametrize("chunk", [1, 7, 64, 1000])
@pytest.mark.parametrize("shape", [(500,), (37, 11), (3, 200), (100, 3), (5, 97)])
def test_chunks_change_nothing(monkeypatch: pytest.MonkeyPatch, chunk: int, shape: tuple[int, ...]) -> None:
    a, b = pair(shape)
    whole = compare_leaf("output", a, b)
    monkeypatch.setattr(chunks, "CHUNK_ELEMENTS", chunk)
    part = compare_leaf("output", a, b)
    check_against_oracle(part, a, b)
    assert (part.heat, part.max_ulp, part.worst_index) == (whole.heat, whole.max_ulp, whole.worst_index)
    assert len(whole.heat) <= 16
    assert all(len(row) <= 48 for row in whole.heat)
    assert max(map(max, whole.heat)) == whole.max_abs
    cells = -(-whole.heat_rows // len(whole.heat)), -(-whole.heat_columns // len(whole.heat[0]))
    row, column = (0, *whole.worst_index)[-2:]
    assert whole.heat[row // cells[0]][column // cells[1]] == whole.max_abs


def test_any_layout_without_a_copy_of_the_whole() -> None:
    a, b = pair((6, 8, 10))
    straight = compare_leaf("output", a, b)
    for view in (lambda t: t.permute(2, 0, 1).contiguous().permute(1, 2, 0), lambda t: torch.stack((t, t), -1)[..., 0]):
        assert compare_leaf("output", view(a), view(b)) == straight
        assert compare_leaf("output", a, view(b)) == straight
    giant = torch.tensor([1.0, 2.0]).expand(500_000, 2)  # 4 MB if it were real; the strides are zero
    assert compare_leaf("output", giant, giant.clone()).mark == IDENTICAL
    point = torch.ones(()).expand(3, 1000)
    assert compare_leaf("output", point, point + 1).mean_abs == 1.0


@pytest.mark.parametrize(
    ("dtype", "code", "whole"),
    [(torch.float16, "e", "h"), (torch.float32, "f", "i"), (torch.float64, "d", "q")],
)
def test_ulp_counts_representable_numbers(dtype: torch.dtype, code: str, whole: str) -> None:
    def order(value: float) -> int:
        bits: int = struct.unpack("<" + whole, struct.pack("<" + code, value))[0]
        return bits if bits >= 0 else -(bits & ((1 << (8 * struct.calcsize(whole) - 1)) - 1))

    tiny = torch.finfo(dtype).smallest_normal
    for a, b in [
        (1.0, 1.5),
        (-1.0, -1.5),
        (-1.0, 2.0),
        (0.0, -0.0),
        (tiny, -tiny),
        (0.0, tiny / 4),
        (-60000.0, 60000.0),
    ]:
        expected = abs(order(a) - order(b))
        assert leaf([a, 3.0], [b, 3.0], dtype).max_ulp == expected
    assert leaf([1.0], [1.0 + torch.finfo(dtype).eps], dtype).max_ulp == 1


def test_ulp_of_bfloat16_and_complex() -> None:
    assert leaf([1.0], [1.0 + 2**-7], torch.bfloat16).max_ulp == 1
    diff = leaf([1 + 1j], [1 + (1 + 3 * 2**-23) * 1j], torch.complex64)
    assert (diff.max_ulp, diff.mismatched, diff.max_abs) == (3, 1, pytest.approx(3 * 2**-23))


def test_complex_distance_is_the_modulus() -> None:
    diff = leaf([[1 + 1j, 0j]], [[4 + 5j, 0j]], torch.complex128)
    assert (diff.max_abs, diff.worst_index, diff.worst_b, diff.top1) == (5.0, (0, 0), "4+5j", -1.0)
    assert compare_leaf("o", torch.tensor([1 + 2j]).conj(), torch.tensor([1 - 2j])).mark == IDENTICAL


def test_identical_and_signed_zero() -> None:
    assert leaf([1.0, 2.0], [1.0, 2.0]).mark == IDENTICAL
    diff = leaf([[0.0, 1.0]], [[-0.0, 1.0]])
    assert (diff.mark, diff.mismatched, diff.max_abs, diff.max_ulp, diff.allclose) == (BEYOND, 1, 0.0, 0, True)
    assert (diff.worst_index, diff.worst_a, diff.worst_b, diff.reason) == ((0, 0), "0", "-0", "")


def test_nan_and_infinity() -> None:
    same = leaf([NAN, INF, -INF, 1.0], [NAN, INF, -INF, 1.0])
    assert (same.mark, same.nan_a, same.inf_b, same.scale, same.allclose) == (IDENTICAL, 1, 2, 1.0, False)
    payload = torch.tensor([0x7FC00001, 0x7FC00002], dtype=torch.int32).view(torch.float32)
    assert compare_leaf("o", payload, payload.flip(0)).mark == IDENTICAL
    for a, b in [(1.0, NAN), (NAN, 1.0), (INF, -INF), (INF, 1.0), (NAN, INF)]:
        diff = leaf([2.0, a, 3.0], [2.0, b, 3.0])
        assert diff.mark == BEYOND
        assert diff.reason.startswith("NaN or infinity at 1 place")
        assert (diff.max_abs, diff.worst_index, diff.noise_multiple, diff.allclose) == (INF, (1,), INF, False)
        assert diff.cosine == pytest.approx(1.0)


@pytest.mark.parametrize("scale", [1e-320, 1e-200, 1.0, 1e200, 1e307])
def test_no_overflow_and_no_vanishing(scale: float) -> None:
    diff = leaf([3.0 * scale, 4.0 * scale], [3.0 * scale, 5.0 * scale], torch.float64)
    assert diff.noise_rms == pytest.approx(1 / 5, rel=1e-3)
    assert diff.noise_largest == pytest.approx(1 / math.sqrt(12.5), rel=1e-3)
    assert diff.cosine == pytest.approx(29 / (5 * math.sqrt(34)), rel=1e-3)
    assert diff.max_rel == pytest.approx(0.25, rel=1e-3)
    small = leaf([1e-45, 0.0], [3e-45, 0.0])
    assert (small.max_ulp, small.mismatched, small.max_rel) == (1, 1, 1.0)


def test_integers_are_exact_beyond_float() -> None:
    big = 2**53
    diff = leaf([big, 7], [big + 1, 7], torch.int64)
    assert (diff.max_abs, diff.mismatched, diff.worst_b, diff.max_ulp) == (1.0, 1, str(big + 1), 0)
    assert leaf([-(2**63)], [2**63 - 1], torch.int64).max_abs == 2.0**64
    assert leaf([0], [-(2**63)], torch.int64).max_abs == 2.0**63
    assert leaf([0], [2**64 - 1], torch.uint64).max_abs == 2.0**64
    assert leaf([2**64 - 1], [2**64 - 2], torch.uint64).max_abs == 1.0
    assert leaf([250], [5], torch.uint8).max_abs == 245.0
    flag = leaf([True, False], [True, True], torch.bool)
    assert (flag.mismatched, flag.worst_index, flag.worst_a, flag.allclose) == (1, (1,), "False", False)


def test_float8_where_it_is() -> None:
    one, other = (torch.tensor([1.0, 2.0]).to(torch.float8_e4m3fn), torch.tensor([1.0, 2.25]).to(torch.float8_e4m3fn))
    assert (compare_leaf("o", one, other).max_abs, compare_leaf("o", one, other).max_ulp) == (0.25, 1)


def test_empty_and_single() -> None:
    assert compare_leaf("o", torch.zeros(0, 3), torch.zeros(0, 3)).mark == IDENTICAL
    diff = leaf(1.0, 2.0)
    assert (diff.shape, diff.worst_index, diff.worst_a, diff.heat) == ((), (), "1", ((1.0,),))


def test_structure_dtype_and_shape_come_first() -> None:
    shape = compare_leaf("o", torch.zeros(4, 10), torch.zeros(4, 9))
    assert (shape.mark, shape.reason) == (BEYOND, "shape [4, 10] against [4, 9]")
    assert compare_leaf("o", torch.zeros(1), torch.zeros(1).double()).reason == "dtype float32 against float64"
    words, diffs = compare(flatten({"x": torch.zeros(1), "y": object()}), flatten({"z": torch.zeros(1), "y": object()}))
    assert "output['x'] (tensor) is missing" in words
    marks = {diff.path: diff.mark for diff in diffs}
    assert marks == {"output['x']": BEYOND, "output['z']": BEYOND, "output['y']": INCOMPARABLE}


@pytest.mark.parametrize(
    "made",
    [
        torch.Tensor.to_mkldnn,
        lambda eye: eye.to("meta"),
    ],
)
def test_what_cannot_be_compared_says_so(made: Callable[[torch.Tensor], torch.Tensor]) -> None:
    tensor = made(torch.eye(2))
    diff = compare_leaf("o", tensor, tensor)
    assert diff.mark == INCOMPARABLE
    assert diff.reason
    assert "cannot compare" not in diff.reason


def test_full_precision_of_the_worst_element() -> None:
    third = leaf([1 / 3], [0.1])
    assert (float(third.worst_a), third.worst_b) == (pytest.approx(1 / 3), "0.1")
    assert torch.tensor(float(third.worst_a)).item() == torch.tensor(1 / 3).item()
    assert leaf([1 / 3], [1.0], torch.float64).worst_a == repr(1 / 3)


def test_requires_grad_and_inference_tensors_are_read_only_looked_at() -> None:
    with torch.inference_mode():
        made = torch.ones(3)
    live = torch.ones(3, requires_grad=True)
    assert compare_leaf("o", live, made).mark == IDENTICAL
    assert live.grad_fn is None


def test_relative_error_against_float64() -> None:
    exact = torch.tensor([3.0, 4.0, NAN, 1e300], dtype=torch.float64)
    eager = torch.tensor([3.0, 4.5, NAN, INF])
    assert relative_error(eager, exact, eager) == (pytest.approx(0.1), pytest.approx(0.5 / math.sqrt(12.5)))
    assert relative_error(torch.tensor([INF, 4.5, NAN, INF]), exact, eager) == (INF, INF)
    zero = torch.zeros(2, dtype=torch.float64)
    assert relative_error(torch.zeros(2), zero, torch.zeros(2)) == (0.0, 0.0)
    assert relative_error(torch.ones(2), zero, torch.ones(2)) == (INF, INF)
    for shape in ((0,), (4, 0), (0, 4)):
        empty = torch.zeros(shape)
        assert relative_error(empty, empty.double(), empty) == (0.0, 0.0)


def test_rows_too_long_for_one_chunk_still_have_classes(monkeypatch: pytest.MonkeyPatch) -> None:
    a = torch.tensor([[0.0, 5, 1, 5], [1, 2, 3, NAN], [4, 3, 2, 1], [0, 0, 0, 0]])
    b = torch.tensor([[0.0, 5, 1, 6], [1, 2, 3, NAN], [4, 3, 2, 2], [0, 0, 1, 0]])
    monkeypatch.setattr(chunks, "CHUNK_ELEMENTS", 2)
    assert compare_leaf("o", a, b).top1 == float((a.argmax(-1) == b.argmax(-1)).double().mean()) == 0.5


@pytest.mark.parametrize("shape", [(999,), (70, 13), (2, 300), (1, 500)])
def test_bands_change_nothing(monkeypatch: pytest.MonkeyPatch, shape: tuple[int, ...]) -> None:
    a, b = pair(shape)
    b.view(-1)[len(b.view(-1)) // 2] = NAN
    whole = compare_leaf("output", a, b)
    monkeypatch.setattr(chunks, "CHUNK_ELEMENTS", 50)
    monkeypatch.setattr(compare_module, "COMPARE_LARGE", 100)
    banded = compare_leaf("output", a, b)
    for name in LeafDiff.__dataclass_fields__:
        one, other = getattr(whole, name), getattr(banded, name)
        assert one == (pytest.approx(other, rel=1e-12) if isinstance(one, float) else other), name
