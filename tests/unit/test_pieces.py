"""Tensors that are not plain: taken apart, laid beside each other, told apart."""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.protocol.runs import BEYOND, IDENTICAL, Yardstick
from workbench.worker.judge.breaking import all_finite, not_finite_counts
from workbench.worker.judge.compare import compare_leaf
from workbench.worker.judge.digest import digest
from workbench.worker.judge.held_tensor import HeldTensor
from workbench.worker.judge.leaves import Flat, flatten
from workbench.worker.judge.pieces import bytes_of
from workbench.worker.judge.relative import relative_error
from workbench.worker.judge.rows import Judged
from workbench.worker.judge.store import detached, output_bytes, same_bits
from workbench.worker.judge.verdict import judge

pytestmark = pytest.mark.filterwarnings(
    "ignore:Sparse", "ignore:The PyTorch API of nested", "ignore:.*quantize", "ignore:.*sparse"
)

Form = Callable[[torch.Tensor], torch.Tensor]


def nested(layout: torch.layout) -> Form:
    return lambda t: torch.nested.nested_tensor([t[:1], t[1:]], layout=layout)


FORMS: dict[str, Form] = {
    "coo": torch.Tensor.to_sparse,
    "hybrid": lambda t: t.to_sparse(1),
    "csr": torch.Tensor.to_sparse_csr,
    "csc": torch.Tensor.to_sparse_csc,
    "bsr": lambda t: t.to_sparse_bsr((2, 2)),
    "duplicates": lambda t: torch.sparse_coo_tensor(
        torch.cat([t.to_sparse().indices()] * 2, 1), torch.cat([t.to_sparse().values()] * 2) / 2, t.shape
    ),
    "nested": nested(torch.strided),
    "jagged": nested(torch.jagged),
}
QUANTISED: dict[str, Form] = {
    "tensor": lambda t: torch.quantize_per_tensor(t, 0.01, 3, torch.qint8),
    "channels": lambda t: torch.quantize_per_channel(
        t, torch.full((4,), 0.01), torch.zeros(4, dtype=torch.long), 0, torch.quint8
    ),
}


def numbers() -> torch.Tensor:
    return torch.randn(4, 4, generator=torch.Generator().manual_seed(3)).abs()


@pytest.mark.parametrize("form", [*FORMS, *QUANTISED])
def test_the_same_is_identical_everywhere_it_is_asked(form: str) -> None:
    made = {**FORMS, **QUANTISED}[form]
    a, b = made(numbers()), made(numbers())
    assert compare_leaf("o", a, b).mark == IDENTICAL
    assert same_bits(flatten(a), flatten(b))
    assert same_bits(detached(flatten(a)), flatten(b))
    assert digest(flatten(a)) == digest(flatten(b))
    assert relative_error(flatten(a), flatten(b)) == 0.0
    assert not HeldTensor("a", a, copy=True).changed()
    assert output_bytes(flatten(a)) == bytes_of(a) > 0


@pytest.mark.parametrize("form", FORMS)
def test_one_value_that_differs_is_seen_and_placed(form: str) -> None:
    other = numbers()
    other[2, 1] += 0.125
    a, b = FORMS[form](numbers()), FORMS[form](other)
    diff = judge(compare_leaf("o", a, b), Yardstick("tolerance"))
    assert (diff.mark, diff.mismatched, diff.dtype) == (BEYOND, 1, "float32")
    assert diff.max_abs == pytest.approx(0.125, rel=1e-5)
    assert diff.worst_index == ((1, 1, 1) if form in ("nested", "jagged") else (2, 1))
    assert not same_bits(flatten(a), flatten(b))
    assert digest(flatten(a)) != digest(flatten(b))
    assert relative_error(flatten(a), flatten(b)) > 0.01


@pytest.mark.parametrize("form", QUANTISED)
def test_integers_of_a_quantised_answer_are_exact(form: str) -> None:
    other = numbers()
    other[2, 1] += 0.125
    a, b = QUANTISED[form](numbers().clamp(max=1)), QUANTISED[form](other.clamp(max=1))
    diff = judge(compare_leaf("o", a, b), Yardstick("tolerance"))
    assert (diff.mark, diff.mismatched) == (BEYOND, 1)
    assert diff.dtype in ("qint8", "quint8")
    assert digest(flatten(a)) != digest(flatten(b))


def test_a_place_that_one_side_alone_stores_is_zero_on_the_other() -> None:
    a, b = torch.tensor([1.0, 0.0, 2.0]), torch.tensor([1.0, 1e-9, 2.0])
    diff = judge(compare_leaf("o", a.to_sparse(), b.to_sparse()), Yardstick("tolerance"))
    assert (diff.mark, diff.elements, diff.mismatched, diff.worst_index) == ("noise", 3, 1, (1,))


@pytest.mark.parametrize(
    ("a", "b", "words"),
    [
        (torch.eye(2), torch.eye(2).to_sparse(), "layout strided against sparse_coo"),
        (torch.eye(2).to_sparse(), torch.eye(3).to_sparse(), "shape [2, 2] against [3, 3]"),
        (torch.eye(2).to_sparse(), torch.eye(2).double().to_sparse(), "dtype float32 against float64"),
        (QUANTISED["tensor"](torch.eye(2)), torch.quantize_per_tensor(torch.eye(2), 0.5, 3, torch.qint8), "scale 0.01"),
        (FORMS["nested"](torch.eye(3)), nested(torch.strided)(torch.eye(4)), "shape nested [[1, 3], [2, 3]]"),
    ],
)
def test_another_form_is_beyond_with_its_reason(a: torch.Tensor, b: torch.Tensor, words: str) -> None:
    diff = judge(compare_leaf("o", a, b), Yardstick("tolerance"))
    assert (diff.mark, diff.noise_multiple) == (BEYOND, float("inf"))
    assert words in diff.reason
    assert not same_bits(flatten(a), flatten(b))


def test_large_ones_are_told_apart_where_their_print_would_leave_elements_out() -> None:
    other = torch.eye(3000)
    other[1500, 1500] = 7.0
    for form in (torch.Tensor.to_sparse, QUANTISED["tensor"]):
        assert digest(flatten(form(torch.eye(3000)))) != digest(flatten(form(other)))


@pytest.mark.parametrize("form", FORMS)
def test_nan_that_is_stored_is_found(form: str) -> None:
    broken = numbers()
    broken[2, 1] = float("nan")
    assert all_finite(FORMS[form](numbers()))
    assert not all_finite(FORMS[form](broken))
    assert not_finite_counts(FORMS[form](broken))[:2] == (1, 0)


SIZES = st.tuples(st.integers(1, 4), st.integers(1, 5))
VALUES = st.sampled_from((0.0, 0.0, 1.0, -2.5, 1e-30, 3e38, float("inf"), float("nan"), 0.1))


@st.composite
def dense_pairs(draw: st.DrawFn) -> tuple[torch.Tensor, torch.Tensor]:
    shape = draw(SIZES)
    count = shape[0] * shape[1]
    dtype = draw(st.sampled_from((torch.float32, torch.float64, torch.bfloat16, torch.complex64, torch.int32)))
    made = [torch.tensor(draw(st.lists(VALUES, min_size=count, max_size=count))).reshape(shape) for _ in range(2)]
    if dtype == torch.int32:
        made = [one.nan_to_num(7, 9).clamp(-9, 9) for one in made]
    return made[0].to(dtype), made[1].to(dtype)


@settings(max_examples=80, deadline=None, derandomize=True, database=None)
@given(dense_pairs(), st.sampled_from(("coo", "csr", "csc")))
def test_what_is_stored_is_compared_as_the_whole_would_be(sides: tuple[torch.Tensor, torch.Tensor], form: str) -> None:
    """Zeros that neither side stores add nothing to any difference."""
    whole, stored = (
        judge(compare_leaf("o", *pair), Yardstick("given", tolerance=1e-3))
        for pair in (sides, tuple(FORMS[form](side) for side in sides))
    )
    assert (stored.mark, stored.mismatched, stored.shape) == (whole.mark, whole.mismatched, whole.shape)
    for name in ("max_abs", "max_rel", "max_ulp", "nan_a", "inf_b", "peak", "cosine"):
        assert getattr(stored, name) == pytest.approx(getattr(whole, name), rel=1e-6), name
    if whole.mark == BEYOND and not whole.reason:
        assert sides[1].shape == stored.shape
        assert not torch.equal(sides[0][stored.worst_index], sides[1][stored.worst_index])


def test_the_worse_of_two_is_the_one_with_the_worse_mark() -> None:
    tree, noise = Judged("beyond", note="structure: output is missing"), Judged("noise", 1e-7, 0.5)
    unknown = Judged("incomparable")
    assert tree.worse_than(noise)
    assert not noise.worse_than(tree)
    assert tree.worse_than(unknown)
    assert unknown.worse_than(noise)
    assert not Judged("").worse_than(Judged("identical"))
    assert Judged("noise", 1e-6, 0.7).worse_than(noise)


def test_errors_of_numbers_whose_squares_leave_float64() -> None:
    def error(a: float, b: float) -> float:
        one, other = (torch.tensor([value], dtype=torch.float64) for value in (a, b))
        return relative_error(Flat("", [("o", one)]), Flat("", [("o", other)]))

    assert error(1e-170, 2e-170) == pytest.approx(1.0)
    assert error(1e200, 1.0001e200) == pytest.approx(1e-4)
    assert error(1.0, 1.5) == 0.5


NUMBERS = st.floats(allow_nan=False, allow_infinity=False) | st.sampled_from((0.0, 1e-170, 1e200, 5e-324, 1.0))


@settings(max_examples=150, deadline=None, derandomize=True, database=None)
@given(st.lists(st.tuples(NUMBERS, NUMBERS), min_size=1, max_size=6))
def test_an_error_is_that_of_exact_arithmetic(pairs: list[tuple[float, float]]) -> None:
    one, other = (torch.tensor(side, dtype=torch.float64) for side in zip(*pairs, strict=True))
    found = relative_error(Flat("", [("o", one)]), Flat("", [("o", other)]))
    steps = [Fraction(b - a) for a, b in pairs if math.isfinite(b - a)]  # subtracted in float64, as torch does
    size = sum(Fraction(a) ** 2 for a, _ in pairs)
    if len(steps) < len(pairs) or (not size and any(steps)):
        assert found == math.inf
        return
    error = sum(step**2 for step in steps) / size if size else Fraction(0)
    if error.numerator == 0 or Fraction(1, 10**280) < error < 10**280:
        assert found**2 == pytest.approx(float(error), rel=1e-9)


def test_an_untouched_buffer_with_nan_in_a_complex_number_is_untouched() -> None:
    buffer = torch.tensor([1 + 1j, complex(float("nan"), 0.0)])
    held = HeldTensor("c", buffer, copy=True)
    assert not held.changed()
    buffer[0] = 2
    assert held.changed()
    held.restore()
    assert buffer[0] == 1 + 1j
