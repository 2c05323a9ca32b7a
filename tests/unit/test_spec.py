"""The language of input specs."""

from __future__ import annotations

import pytest

from workbench.protocol.failures import WorkbenchError
from workbench.worker.bench.spec import DynamicDim, parse


@pytest.mark.parametrize(
    ("text", "name", "dtype", "shape", "values"),
    [
        ("x=float32[4,10]", "x", "float32", (4, 10), (None, None)),
        ("ids=int64[2,16]{0..100}", "ids", "int64", (2, 16), (0, 100)),
        ("mask=bool[4]", "mask", "bool", (4,), (None, None)),
        ("s=float32[]", "s", "float32", (), (None, None)),
        ("  x = torch.half[ 2 , 3 ] ", "x", "float16", (2, 3), (None, None)),
        ("float32[4]", "", "float32", (4,), (None, None)),
        ("x=float32[4]{-1.5..2e3}", "x", "float32", (4,), (-1.5, 2000.0)),
        ("x=float32[0,3]", "x", "float32", (0, 3), (None, None)),
    ],
)
def test_a_spec_reads(
    text: str, name: str, dtype: str, shape: tuple[int, ...], values: tuple[float | None, float | None]
) -> None:
    spec = parse(text)
    assert (spec.name, spec.dtype, spec.shape, (spec.low, spec.high)) == (name, dtype, shape, values)
    assert parse(spec.text) == spec


@pytest.mark.parametrize(("written", "size"), [("1..64", 4), ("1..3", 3), ("8..64", 8), ("1..1", 1), ("0..9", 4)])
def test_a_dynamic_dimension_has_a_range_and_an_example_size_of_two_or_more(written: str, size: int) -> None:
    spec = parse(f"x=float32[batch:{written},10]")
    low, high = map(int, written.split(".."))
    assert spec.shape == (size, 10)
    assert spec.dynamic == (DynamicDim(0, "batch", low, high),)
    assert spec.text == f"x=float32[batch:{written},10]"


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("x", "name=dtype[sizes]"),
        ("x=float32", "name=dtype[sizes]"),
        ("x=float33[4]", "float33"),
        ("x=float32[4,]", "nothing"),
        ("x=float32[-1]", "-1"),
        ("x=float32[batch,3]", "batch"),
        ("x=float32[batch:9..3]", "9..3"),
        ("x=int64[3]{5..1}", "empty"),
        ("x=int64[3]{0.5..1}", "whole"),
        ("x=bool[3]{0..1}", "no range"),
        ("x=float32[3]{a..b}", "{a..b}"),
        ("3x=float32[3]", "3x"),
    ],
)
def test_a_spec_that_does_not_read_says_which_part(text: str, part: str) -> None:
    with pytest.raises(WorkbenchError) as caught:
        parse(text)
    failure = caught.value.failure
    assert failure.kind == "inputs"
    assert part in failure.message
    assert "--input" in failure.remedy
