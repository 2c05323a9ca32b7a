"""The language of input specs: `x=float32[4,10]`, `ids=int64[2,16]{0..100}`, `x=float32[batch:1..64,10]`.

Owns the text form of one input and nothing else: no tensors are made here, and torch is not imported.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from workbench.protocol.failures import WorkbenchError, error

FLOATING = ("float64", "float32", "float16", "bfloat16")
COMPLEX = ("complex64", "complex128")
INTEGER = ("int64", "int32", "int16", "int8", "uint8")
DTYPES = (*FLOATING, *COMPLEX, *INTEGER, "bool")
"""Every dtype an input can have, by its torch name."""

_ALIASES = {"float": "float32", "double": "float64", "half": "float16", "long": "int64", "int": "int32"}
_TYPICAL = 4
"""Example size of a dynamic dimension where its range allows it: 2 or more, for exporters specialise 1."""

_SPEC = re.compile(
    r"\s*(?:(?P<name>[^\W\d]\w*)\s*=)?\s*(?:torch\.)?(?P<dtype>[a-z]\w*)\s*"
    r"\[(?P<shape>[^\[\]]*)\]\s*(?:\{(?P<range>[^{}]*)\})?\s*"
)
_DYNAMIC = re.compile(r"(?P<name>[^\W\d]\w*)\s*:\s*(?P<low>\d+)\s*\.\.\s*(?P<high>\d+)")
_NUMBER = r"[+-]?(?:\d+\.?\d*(?:[eE][+-]?\d+)?|\.\d+)"
_RANGE = re.compile(rf"\s*(?P<low>{_NUMBER})\s*\.\.\s*(?P<high>{_NUMBER})\s*")


@dataclass(frozen=True)
class DynamicDim:
    """A dimension that may differ from call to call."""

    axis: int
    name: str
    minimum: int
    maximum: int


@dataclass(frozen=True)
class InputSpec:
    """One tensor argument of forward."""

    name: str
    """Empty: the argument at this place."""
    dtype: str
    """Without "torch."."""
    shape: tuple[int, ...]
    """Example sizes, dynamic dimensions included."""
    low: float | None = None
    """Smallest value, inclusive; None: no range was given."""
    high: float | None = None
    """Largest value, inclusive."""
    dynamic: tuple[DynamicDim, ...] = ()

    def with_name(self, name: str) -> InputSpec:
        return replace(self, name=name)

    def resized(self, sizes: dict[int, int]) -> InputSpec:
        """The same with `sizes` (axis → size)."""
        return replace(self, shape=tuple(sizes.get(axis, size) for axis, size in enumerate(self.shape)))

    @property
    def text(self) -> str:
        """The spec that parses to this one."""
        dynamic = {dim.axis: dim for dim in self.dynamic}
        sizes = (
            f"{dynamic[axis].name}:{dynamic[axis].minimum}..{dynamic[axis].maximum}" if axis in dynamic else str(size)
            for axis, size in enumerate(self.shape)
        )
        values = "" if self.low is None or self.high is None else f"{{{self.low:.12g}..{self.high:.12g}}}"
        return f"{self.name}={self.dtype}[{','.join(sizes)}]{values}" if self.name else self.anonymous

    @property
    def anonymous(self) -> str:
        """`text` without the name."""
        return replace(self, name="_").text[2:]


def parse(text: str) -> InputSpec:
    """The spec in `text`. Raises `WorkbenchError("inputs")` that says which part it is."""
    match = _SPEC.fullmatch(text)
    if match is None:
        raise _wrong(text, "it does not read as name=dtype[sizes]")
    dtype = _ALIASES.get(match["dtype"], match["dtype"])
    if dtype not in DTYPES:
        raise _wrong(text, f"{match['dtype']} is no dtype; there are {', '.join(DTYPES)}")
    shape, dynamic = _sizes(text, match["shape"])
    low, high = _values(text, match["range"], dtype)
    return InputSpec(match["name"] or "", dtype, shape, low, high, dynamic)


def _sizes(text: str, written: str) -> tuple[tuple[int, ...], tuple[DynamicDim, ...]]:
    if not written.strip():
        return (), ()
    shape: list[int] = []
    dynamic: list[DynamicDim] = []
    for axis, part in enumerate(size.strip() for size in written.split(",")):
        if part.isascii() and part.isdigit():
            shape.append(int(part))
            continue
        match = _DYNAMIC.fullmatch(part)
        if match is None:
            raise _wrong(text, f"{part or 'nothing'} is no size: write a number, or name:1..64 where it may vary")
        low, high = int(match["low"]), int(match["high"])
        if high < low or high < 1:
            raise _wrong(text, f"the range {low}..{high} of {match['name']} is empty")
        dynamic.append(DynamicDim(axis, match["name"], low, high))
        shape.append(min(max(low, _TYPICAL), high))
    return tuple(shape), tuple(dynamic)


def _values(text: str, written: str | None, dtype: str) -> tuple[float | None, float | None]:
    if written is None:
        return None, None
    match = _RANGE.fullmatch(written)
    if match is None:
        raise _wrong(text, f"{{{written}}} is no range: write {{0..100}}")
    low, high = float(match["low"]), float(match["high"])
    if dtype == "bool" or dtype in COMPLEX:
        raise _wrong(text, f"a {dtype} input takes no range")
    if high < low:
        raise _wrong(text, f"the range {{{written}}} is empty")
    if dtype in INTEGER and not (low.is_integer() and high.is_integer()):
        raise _wrong(text, f"the range {{{written}}} of {dtype} must be whole numbers")
    return low, high


def _wrong(text: str, reason: str) -> WorkbenchError:
    return error(
        "inputs",
        f"The input spec {text!r} cannot be read: {reason}.",
        where="--input",
        remedy="Write it like --input 'x=float32[4,10]' or --input 'ids=int64[2,16]{0..100}'.",
    )
