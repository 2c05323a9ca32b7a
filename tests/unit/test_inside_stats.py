"""Statistics of a tensor against a slow oracle, in every dtype, shape and layout that a model may answer with."""

from __future__ import annotations

import json
import math

import pytest
import torch

from workbench.protocol.codec import from_plain, plain
from workbench.protocol.inside import HISTOGRAM_BINS, TensorStats
from workbench.worker.inside import stats
from workbench.worker.inside.stats import statistics


def oracle(values: list[float]) -> dict[str, float]:
    """By the book, one element at a time, in Python's own numbers."""
    finite = [value for value in values if math.isfinite(value)]
    count = len(finite)
    mean = math.fsum(finite) / count
    return {
        "mean": mean,
        "std": math.sqrt(math.fsum((value - mean) ** 2 for value in finite) / count),
        "rms": math.sqrt(math.fsum(value * value for value in finite) / count),
        "minimum": min(finite),
        "maximum": max(finite),
        "zeros": sum(value == 0 for value in values),
        "nan": sum(math.isnan(value) for value in values),
        "inf": sum(math.isinf(value) for value in values),
    }


def assert_right(found: TensorStats, values: list[float]) -> None:
    for name, wanted in oracle(values).items():
        assert getattr(found, name) == pytest.approx(wanted, rel=1e-9, abs=1e-300), name
    assert sum(found.histogram) == sum(map(math.isfinite, values))
    assert len(found.histogram) == HISTOGRAM_BINS


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize("shape", [(), (1,), (7,), (3, 4, 5)], ids=str)
def test_floats(dtype: torch.dtype, shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    tensor = torch.randn(shape).to(dtype)
    assert_right(statistics("x", tensor), tensor.double().flatten().tolist())


@pytest.mark.parametrize("dtype", [torch.int8, torch.uint8, torch.int32, torch.int64, torch.bool], ids=str)
def test_integers_and_booleans(dtype: torch.dtype) -> None:
    tensor = torch.tensor([0, 1, 0, 5, 120]).to(dtype)
    assert_right(statistics("x", tensor), tensor.double().tolist())


def test_nan_and_infinities_are_counted_and_left_out_of_the_rest() -> None:
    tensor = torch.tensor([1.0, math.nan, -math.inf, 3.0, math.inf, 0.0, -0.0, math.nan])
    assert_right(statistics("x", tensor), tensor.double().tolist())


def test_nothing_finite_has_no_moments_and_no_histogram() -> None:
    for tensor in (torch.tensor([]), torch.tensor([math.nan, math.inf]), torch.empty(0, 3)):
        found = statistics("x", tensor)
        assert math.isnan(found.mean)
        assert math.isnan(found.std)
        assert found.histogram == ()
        assert found.elements == tensor.numel()


def test_complex_by_absolute_value() -> None:
    tensor = torch.tensor([3 + 4j, 0j, complex(math.nan, 0)], dtype=torch.complex64)
    found = statistics("x", tensor)
    assert (found.maximum, found.zeros, found.nan) == (5.0, 1, 1)
    assert "absolute" in found.note
    assert statistics("x", tensor.conj()).maximum == 5.0


@pytest.mark.parametrize("scale", [1e300, 1.7e308, 1e-320, 5e-324], ids=str)
def test_huge_and_tiny_scales(scale: float) -> None:
    tensor = torch.tensor([scale, -scale, scale, 0.0], dtype=torch.float64)
    found = statistics("x", tensor)
    assert found.maximum == scale
    assert found.minimum == -scale
    assert found.mean == pytest.approx(scale / 4, rel=1e-6, abs=5e-324)
    assert math.isfinite(found.std)
    assert math.isfinite(found.rms)
    assert found.histogram[0] == 1
    assert sum(found.histogram) == 4


def test_views_expanded_and_many_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stats, "PIECE", 16)
    torch.manual_seed(1)
    for tensor in (
        torch.randn(9, 7).t(),
        torch.randn(4, 1, 3).expand(4, 8, 3),
        torch.randn(50)[::3],
        torch.randn(3, 5, 40).permute(2, 0, 1),
    ):
        assert_right(statistics("x", tensor), tensor.double().flatten().tolist())


def test_a_claim_of_a_million_million_elements_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stats, "MOST", 1000)
    monkeypatch.setattr(stats, "PIECE", 300)
    found = statistics("x", torch.ones(1).expand(10**12))
    assert found.elements == 10**12
    assert sum(found.histogram) == 1000
    assert "first 1,000 elements" in found.note


def test_it_can_be_cancelled_between_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stats, "PIECE", 4)

    def check() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        statistics("x", torch.zeros(100), check)


def test_what_cannot_be_read_or_is_not_strided_says_so() -> None:
    assert "meta" in statistics("x", torch.zeros(2, device="meta")).note
    sparse = statistics("x", torch.eye(3).to_sparse())
    assert "3 stored values" in sparse.note
    assert sparse.mean == 1.0
    assert statistics("x", torch.eye(3).to_sparse_csr()).maximum == 1.0
    nested = torch.nested.nested_tensor([torch.ones(2), torch.ones(3)])
    assert statistics("x", nested).note


def test_nothing_is_changed_and_inference_tensors_are_read() -> None:
    with torch.inference_mode():
        tensor = torch.randn(5)
        assert statistics("x", tensor).elements == 5
    parameter = torch.nn.Parameter(torch.randn(5))
    version, before = parameter._version, parameter.detach().clone()
    found = statistics("x", parameter)
    assert found.requires_grad
    assert parameter._version == version
    assert parameter.grad_fn is None
    assert torch.equal(parameter, before)


def test_a_record_travels() -> None:
    for tensor in (torch.tensor([]), torch.tensor([math.nan, 1e300], dtype=torch.float64), torch.randn(3)):
        found = statistics("x", tensor)
        assert repr(from_plain(TensorStats, json.loads(json.dumps(plain(found))))) == repr(found)
