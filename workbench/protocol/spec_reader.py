"""Reads the language of input specs; what was read is `spec.py`'s.

spec    =  [place "="] (tensor | plain)
place   =  name { "." key | "[" number "]" | "." number }     a key of a dict, a place in a list, in a tuple
tensor  =  dtype "[" sizes "]" [ "{" values { ";" "[" index "]" "=" number } "}" ]
values  =  low ".." high | normal | normal(mean,std) | uniform | uniform(low,high) | zeros | ones | (nothing)
plain   =  None, True, 3, 0.5, "text", [1, 2] …                  a Python literal; it needs a place
"""

from __future__ import annotations

import ast
import math
import re
from dataclasses import replace
from typing import Any

from .failures import WorkbenchError, error
from .spec import (
    COMPLEX,
    DTYPES,
    FLOATING,
    INTEGER,
    LIMITS,
    NAME,
    NORMAL,
    ONES,
    PLACE,
    ZEROS,
    DynamicDim,
    InputSpec,
    Plain,
)

_ALIASES = {"float": "float32", "double": "float64", "half": "float16", "long": "int64", "int": "int32"}
_TYPICAL = 4
"""Example size of a dynamic dimension where its range allows it: 2 or more, for exporters specialise 1."""
_LONGEST = 10_000
"""Characters of a spec."""
_DIGITS = 100
"""Of a whole number: enough to say why it is too large, and few enough for int()."""

_PLACED = re.compile(rf"\s*(?P<place>{PLACE})\s*=(?!=)\s*(?P<value>.*)", re.DOTALL)
_SPEC = re.compile(
    rf"\s*(?:(?P<name>{PLACE})\s*=)?\s*(?:torch\.)?(?P<dtype>[a-z]\w*)\s*"
    r"\[(?P<shape>[^\[\]]*)\]\s*(?:\{(?P<values>[^{}]*)\})?\s*"
)
_DYNAMIC = re.compile(rf"(?P<name>{NAME})\s*:\s*(?P<low>\d+)\s*\.\.\s*(?P<high>\d+)")
_NUMBER = r"[+-]?(?:\d+\.?\d*(?:[eE][+-]?\d+)?|\.\d+)"
_RANGE = re.compile(rf"(?P<low>{_NUMBER})\s*\.\.\s*(?P<high>{_NUMBER})")
_NAMED = re.compile(rf"(?P<kind>[a-z]+)\s*(?:\(\s*(?P<a>{_NUMBER})\s*,\s*(?P<b>{_NUMBER})\s*\))?")
_ELEMENT = re.compile(r"\[(?P<index>[\d\s,]*)\]\s*=\s*(?P<value>[^\s=]+)")
_WORDS: dict[str, Any] = {"none": None, "true": True, "false": False, "inf": math.inf, "-inf": -math.inf}
_WORDS["nan"] = math.nan


def parse(text: str) -> InputSpec | Plain:
    """What `text` says. Raises `WorkbenchError("inputs")` that says which part it is."""
    if len(text) > _LONGEST:
        raise _wrong(f"{text[:40]} …", f"it has more than {_LONGEST} characters; give a file with --inputs")
    match = _SPEC.fullmatch(text)
    if match is None:
        return _plain(text)
    dtype = _ALIASES.get(match["dtype"], match["dtype"])
    if dtype not in DTYPES:
        raise _wrong(text, f"{match['dtype']} is no dtype; there are {', '.join(DTYPES)}")
    shape, dynamic = _sizes(text, match["shape"])
    spec = InputSpec(match["name"] or "", dtype, shape, dynamic=dynamic)
    if match["values"] is None:
        return spec
    kind, *elements = match["values"].split(";")
    return _with_elements(text, _with_kind(text, spec, kind.strip()), elements)


def _plain(text: str) -> Plain:
    placed = _PLACED.fullmatch(text)
    if placed is None:
        raise _wrong(text, "it does not read as name=dtype[sizes] or name=value")
    written = placed["value"].strip()
    if written.lower() in _WORDS:
        return Plain(placed["place"], _WORDS[written.lower()])
    try:
        value = ast.literal_eval(written)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError) as problem:
        reason = f"{written or 'nothing'} does not read as dtype[sizes], nor as None, True, a number or a quoted text"
        raise _wrong(text, f"it does not read as name=dtype[sizes] or name=value: {reason}") from problem
    if not _is_plain(value):
        raise _wrong(text, f"{written} holds what no plain value may: use None, truths, numbers, texts and lists")
    return Plain(placed["place"], value)


def _is_plain(value: Any, top: bool = True) -> bool:
    if isinstance(value, (list, tuple)):
        return all(_is_plain(one, False) for one in value)
    if isinstance(value, dict):
        return all(isinstance(key, str) and _is_plain(one, False) for key, one in value.items())
    if isinstance(value, float):
        return top or math.isfinite(value)
    return value is None or isinstance(value, (bool, int, str))


def _sizes(text: str, written: str) -> tuple[tuple[int, ...], tuple[DynamicDim, ...]]:
    if not written.strip():
        return (), ()
    shape: list[int] = []
    dynamic: list[DynamicDim] = []
    for axis, part in enumerate(size.strip() for size in written.split(",")):
        if part.isascii() and part.isdigit() and len(part) < 19:
            shape.append(int(part))
            continue
        match = _DYNAMIC.fullmatch(part)
        if match is None:
            raise _wrong(text, f"{part or 'nothing'} is no size: write a number, or name:1..64 where it may vary")
        low, high = _whole(text, match["low"]), _whole(text, match["high"])
        if high < low or high < 1:
            raise _wrong(text, f"the range {low}..{high} of {match['name']} is empty")
        dynamic.append(DynamicDim(axis, match["name"], low, high))
        shape.append(min(max(low, _TYPICAL), high))
    return tuple(shape), tuple(dynamic)


def _with_kind(text: str, spec: InputSpec, written: str) -> InputSpec:
    """`spec` with the distribution that is written before the first semicolon."""
    if not written:
        return spec
    if match := _RANGE.fullmatch(written):
        return _ranged(text, spec, written, match["low"], match["high"])
    named = _NAMED.fullmatch(written)
    kind = named["kind"] if named else ""
    bare = named is not None and named["a"] is None
    if named is None or kind not in (ZEROS, ONES, NORMAL, "uniform") or (kind in (ZEROS, ONES) and not bare):
        reason = (
            "is no range and no distribution: write {0..100}, {normal}, {normal(0,2)}, {uniform}, {zeros} or {ones}"
        )
        raise _wrong(text, f"{{{written}}} {reason}")
    if kind in (ZEROS, ONES):
        return replace(spec, fill=kind)
    one, other = ("0", "1") if bare else (named["a"], named["b"])
    if kind == "uniform":
        if bare and spec.dtype in INTEGER:
            raise _wrong(text, f"{spec.dtype} needs to know from where to where: write {{0..100}}")
        return _ranged(text, spec, written, one, other)
    if spec.dtype in INTEGER or spec.dtype == "bool":
        raise _wrong(text, f"{spec.dtype} has no normal distribution: write {{0..100}}, {{zeros}} or {{ones}}")
    first, second = float(one), float(other)
    if second < 0 or not math.isfinite(first) or not math.isfinite(second):
        raise _wrong(text, f"the deviation in {{{written}}} is no number from 0 on")
    for end, value in ((one, first), (other, second)):
        _held(text, spec.dtype, end, value)
    return spec if (first, second) == (0.0, 1.0) else replace(spec, fill=NORMAL, mean=first, std=second)


def _ranged(text: str, spec: InputSpec, written: str, least: str, most: str) -> InputSpec:
    if spec.dtype == "bool" or spec.dtype in COMPLEX:
        raise _wrong(text, f"a {spec.dtype} input takes no range")
    low, high = float(least), float(most)
    if high < low:
        raise _wrong(text, f"the range {{{written}}} is empty")
    if not math.isfinite(high - low):
        raise _wrong(text, f"the range {{{written}}} is too wide")
    if spec.dtype in INTEGER and not (low.is_integer() and high.is_integer()):
        raise _wrong(text, f"the range {{{written}}} of {spec.dtype} must be whole numbers")
    for end, value in ((least, low), (most, high)):
        exact = _number(text, end) if spec.dtype in INTEGER else value
        _held(text, spec.dtype, end, exact)
        if exact != value:
            raise _wrong(text, f"ends past {2**53} are kept as floats, and {end} would become {int(value)}")
    narrow = spec.dtype in FLOATING and spec.dtype != "float64"
    if narrow and high - low > LIMITS["float32"][1]:  # in which all of them are drawn
        raise _wrong(text, f"the range {{{written}}} is too wide")
    return replace(spec, low=low, high=high)


def _held(text: str, dtype: str, written: str, value: float) -> None:
    """Raises where a finite `value` is past what `dtype` holds; complex dtypes hold what their halves do."""
    low, high = LIMITS[{"complex64": "float32", "complex128": "float64"}.get(dtype, dtype)]
    if not low <= value <= high:
        raise _wrong(text, f"{written} is no {dtype}, which holds {low!r} to {high!r}")


def _whole(text: str, written: str) -> int:
    if len(written.lstrip("+-0")) > _DIGITS:
        raise _wrong(text, f"{written[:_DIGITS]}… has too many digits")
    return int(written)


def _number(text: str, written: str) -> int | float:
    """A float where it is written as one."""
    return float(written) if re.search(r"[.eE]", written) else _whole(text, written)


def _with_elements(text: str, spec: InputSpec, written: list[str]) -> InputSpec:
    found: dict[tuple[int, ...], bool | int | float] = {}
    for part in written:
        match = _ELEMENT.fullmatch(part.strip())
        if match is None:
            raise _wrong(text, f"{part.strip() or 'nothing'} sets no element: write [0,3]=1.5 after the semicolon")
        index = tuple(_whole(text, one.strip()) for one in match["index"].split(",") if one.strip())
        fixed = {dim.axis: dim.maximum for dim in spec.dynamic}
        limits = [fixed.get(axis, size) for axis, size in enumerate(spec.shape)]
        inside = len(index) == len(limits) and all(one < limit for one, limit in zip(index, limits))  # noqa: B905
        if not inside:
            raise _wrong(text, f"[{match['index']}] is no element of [{spec.sizes}]")
        if index in found:
            raise _wrong(text, f"[{match['index']}] is set twice")
        found[index] = _element(text, spec, match["value"])
    return replace(spec, elements=tuple(found.items()))


def _element(text: str, spec: InputSpec, written: str) -> bool | int | float:
    value = _WORDS.get(written.lower(), written)
    if isinstance(value, str):
        if re.fullmatch(_NUMBER, value) is None:
            raise _wrong(text, f"{written} is no number")
        value = _number(text, value)
    if spec.dtype == "bool":
        if value not in (0, 1):
            raise _wrong(text, f"{written} is no truth: write true or false")
        return bool(value)
    if value is None or isinstance(value, bool):
        raise _wrong(text, f"{written} is no number")
    if spec.dtype in INTEGER:
        if not math.isfinite(value) or value != int(value):
            raise _wrong(text, f"{written} is no {spec.dtype}")
        _held(text, spec.dtype, written, value)
        return int(value)
    if math.isfinite(value):
        _held(text, spec.dtype, written, value)
    return float(value)


def _wrong(text: str, reason: str) -> WorkbenchError:
    return error(
        "inputs",
        f"The input spec {text!r} cannot be read: {reason}.",
        where="--input",
        remedy="Write it like --input 'x=float32[4,10]', --input 'ids=int64[2,16]{0..100}' or --input 'mask=None'.",
    )
