"""The language of input specs."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.protocol.failures import WorkbenchError
from workbench.protocol.spec import (
    COMPLEX,
    FLOATING,
    INTEGER,
    NORMAL,
    ONES,
    ZEROS,
    DynamicDim,
    InputSpec,
    Plain,
    Step,
    steps_of,
)
from workbench.protocol.spec_reader import parse


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
        ("x=float32[3]{gaussian}", "{normal(0,2)}"),
        ("x=float32[3]{zeros(1,2)}", "{zeros(1,2)}"),
        ("x=float32[3]{normal(0,-1)}", "deviation"),
        ("x=float32[3]{0..1e999}", "too wide"),
        ("x=int64[3]{normal}", "{0..100}"),
        ("x=int64[3]{uniform}", "{0..100}"),
        ("x=bool[3]{uniform}", "no range"),
        ("x=complex64[3]{0..1}", "no range"),
        ("x=float32[3]{;[3]=1}", "[3] is no element of [3]"),
        ("x=float32[3]{;[0,0]=1}", "no element"),
        ("x=float32[3]{;[0]=1;[0]=2}", "twice"),
        ("x=float32[3]{;0=1}", "[0,3]=1.5"),
        ("x=float32[3]{;[0]=big}", "no number"),
        ("x=float32[3]{;[0]=None}", "no number"),
        ("x=int8[3]{;[0]=128}", "no int8"),
        ("x=uint8[3]{;[0]=-1}", "no uint8"),
        ("x=int64[3]{0..9223372036854775808}", "9223372036854775808 is no int64"),
        ("x=int64[3]{0..99999999999999999999}", "99999999999999999999 is no int64"),
        ("x=int64[3]{0..9223372036854775807}", "would become 9223372036854775808"),
        ("x=int32[3]{-2147483649..0}", "-2147483649 is no int32"),
        ("x=uint8[3]{0..256}", "256 is no uint8, which holds 0 to 255"),
        ("x=int8[3]{0..300}", "300 is no int8"),
        ("x=uint8[3]{-5..5}", "-5 is no uint8"),
        ("x=float16[3]{0..1000000}", "1000000 is no float16"),
        ("x=float16[3]{normal(0,1e6)}", "1e6 is no float16"),
        ("x=float16[3]{;[0]=65505}", "65505 is no float16"),
        ("x=bfloat16[3]{0..3.4e38}", "no bfloat16"),
        ("x=float32[3]{0..1e39}", "1e39 is no float32"),
        ("x=float32[3]{-3e38..3e38}", "too wide"),
        ("x=float32[3]{;[0]=1e39}", "1e39 is no float32"),
        ("x=int64[3]{;[0]=" + "9" * 5000 + "}", "too many digits"),
        ("x=int64[n:1.." + "9" * 5000 + "]", "too many digits"),
        ("x=int64[3]{;[0]=nan}", "no int64"),
        ("x=bool[3]{;[0]=2}", "no truth"),
        ("flag=", "nothing"),
        ("flag=yes", "quoted"),
        ("flag=print(1)", "quoted"),
        ("flag={1, 2}", "holds"),
        ("flag=[1e999]", "holds"),
        ("x=" + "1" * 20_000, "10000 characters"),
    ],
)
def test_a_spec_that_does_not_read_says_which_part(text: str, part: str) -> None:
    with pytest.raises(WorkbenchError) as caught:
        parse(text)
    failure = caught.value.failure
    assert failure.kind == "inputs"
    assert part in failure.message
    assert "--input" in failure.remedy


@pytest.mark.parametrize(
    ("text", "values", "fill"),
    [
        ("x=float32[4]{normal}", "", ""),
        ("x=float32[4]{normal(0,1)}", "", ""),
        ("x=float32[4]{ normal( 0 , 2 ) }", "normal(0,2)", NORMAL),
        ("x=float32[4]{uniform}", "0..1", ""),
        ("x=int64[4]{uniform(0,9)}", "0..9", ""),
        ("x=int64[4]{zeros}", "zeros", ZEROS),
        ("x=bool[4]{ones}", "ones", ONES),
        ("x=float32[4,2]{;[3,1]=nan;[0,0]=-inf}", ";[3,1]=nan;[0,0]=-inf", ""),
        ("x=int64[4]{0..5;[2]=9}", "0..5;[2]=9", ""),
        ("x=float32[batch:1..64,2]{;[40,0]=1}", ";[40,0]=1", ""),
    ],
)
def test_values_are_written_between_braces(text: str, values: str, fill: str) -> None:
    spec = parse(text)
    assert isinstance(spec, InputSpec)
    assert (spec.values, spec.fill) == (values, fill)
    assert spec.declared == bool(values)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("mask=None", None), ("mask=none", None), ("flag=true", True), ("k=3", 3), ("k=-0.5", -0.5),
        ("k=inf", float("inf")),
        ("how='fast = [x]'", "fast = [x]"), ("sizes=[2, (3, 4)]", [2, (3, 4)]), ("o={'a': None}", {"a": None}),
    ],
)  # fmt: skip
def test_a_plain_value_reads(text: str, value: object) -> None:
    found = parse(text)
    assert isinstance(found, Plain)
    assert (found.value, type(found.value)) == (value, type(value))
    assert parse(found.text) == found


def test_a_place_leads_into_an_argument() -> None:
    name, steps = steps_of('batch.items[2].0["pixel values"]')
    assert name == "batch"
    assert steps == (Step("key", "items"), Step("list", 2), Step("tuple", 0), Step("key", "pixel values"))
    assert name + "".join(step.text for step in steps) == 'batch.items[2].0["pixel values"]'


names = st.from_regex(r"[a-z_][a-z0-9_]{0,6}", fullmatch=True)
steps = st.one_of(
    st.builds(Step, st.just("key"), st.one_of(names, st.text("ab [].=;{}é", min_size=1, max_size=5))),
    st.builds(Step, st.sampled_from(["list", "tuple"]), st.integers(0, 99)),
)
places = st.builds(lambda name, ways: name + "".join(way.text for way in ways), names, st.lists(steps, max_size=3))
finite = st.floats(allow_nan=False, allow_infinity=False, min_value=-1e30, max_value=1e30)
finite_half = st.floats(min_value=-65504, max_value=65504)


@st.composite
def specs(draw: st.DrawFn) -> InputSpec:
    dtype = draw(st.sampled_from([*FLOATING, *COMPLEX, *INTEGER, "bool"]))
    shape = draw(st.lists(st.integers(0, 12), max_size=4))
    fields: dict[str, object] = {}
    held = finite_half if dtype == "float16" else finite
    kinds = (
        ["", ZEROS, ONES] + [NORMAL] * (dtype in (*FLOATING, *COMPLEX)) + ["range"] * (dtype in (*FLOATING, *INTEGER))
    )
    kind = draw(st.sampled_from(kinds))
    if kind == "range":
        small = st.integers(0, 255) if dtype == "uint8" else st.integers(-128, 127)
        ends = small.map(float) if dtype in INTEGER else held
        low, high = sorted((draw(ends), draw(ends)))
        fields |= {"low": low, "high": high}
    elif kind:
        fields["fill"] = kind
    if kind == NORMAL:
        fields |= {"mean": draw(held), "std": draw(held.map(abs).filter(lambda value: value != 1))}
    if all(shape) and draw(st.booleans()):
        values = {"bool": st.booleans()} | dict.fromkeys(INTEGER, st.integers(0, 127))
        index = tuple(draw(st.integers(0, size - 1)) for size in shape)
        fields["elements"] = ((index, draw(values.get(dtype, st.one_of(held, st.just(float("inf")))))),)
    return InputSpec(draw(places), dtype, tuple(shape), **fields)


@given(specs())
def test_every_spec_reads_back_as_itself(spec: InputSpec) -> None:
    assert parse(spec.text) == spec
    assert parse(spec.anonymous) == spec.with_name("")


plain_leaves = st.one_of(st.none(), st.booleans(), st.integers(), finite, st.text())
plain_values = st.recursive(
    plain_leaves, lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(), inner, max_size=3))
)


@given(places, plain_values)
def test_every_plain_value_reads_back_as_itself(place: str, value: object) -> None:
    assert parse(Plain(place, value).text) == Plain(place, value)
