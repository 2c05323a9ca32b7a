"""The language of input specs: `x=float32[4,10]`, `ids=int64[2,16]{0..100}`, `batch.x=float32[n:1..64,10]`, `k=3`.

Owns what one input says, and how it is written down. The worker draws tensors from it; a face may edit it. How it is
read is `spec_reader.py`'s business.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Any

FLOATING = ("float64", "float32", "float16", "bfloat16")
COMPLEX = ("complex64", "complex128")
INTEGER = ("int64", "int32", "int16", "int8", "uint8")
DTYPES = (*FLOATING, *COMPLEX, *INTEGER, "bool")
"""Every dtype an input can have, by its torch name."""

LIMITS: dict[str, tuple[float, float]] = {
    **{name: (-(2.0 - 2.0**-kept) * 2.0**top, (2.0 - 2.0**-kept) * 2.0**top)
       for name, kept, top in (("float64", 52, 1023), ("float32", 23, 127), ("float16", 10, 15), ("bfloat16", 7, 127))},
    **{f"int{bits}": (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) for bits in (8, 16, 32, 64)},
    "uint8": (0, 255),
}  # fmt: skip
"""The smallest and the largest finite value of a dtype, both exact: IEEE 754's, and two's complement's."""

ZEROS, ONES, NORMAL = "zeros", "ones", "normal"

NAME = r"[^\W\d]\w*"
PLACE = rf"(?:{NAME})(?:\.{NAME}|\.\d+|\[\d+\]|\[\"[^\"\\]*\"\])*"
_STEP = re.compile(rf"\.(?P<key>{NAME})|\.(?P<tuple>\d+)|\[(?P<list>\d+)\]|\[\"(?P<quoted>[^\"\\]*)\"\]")
Element = tuple[tuple[int, ...], bool | int | float]
"""Index of one element, and the value it is set to."""


@dataclass(frozen=True)
class DynamicDim:
    """A dimension that may differ from call to call."""

    axis: int
    name: str
    minimum: int
    maximum: int


@dataclass(frozen=True)
class InputSpec:
    """One tensor that is drawn for forward."""

    name: str
    """Argument of forward, or a place inside one: `batch.x`, `xs[0]`. Empty: the argument at this place."""
    dtype: str
    """Without "torch."."""
    shape: tuple[int, ...]
    """Example sizes, dynamic dimensions included."""
    low: float | None = None
    """Smallest value, inclusive; None: no range was given."""
    high: float | None = None
    """Largest value, inclusive."""
    dynamic: tuple[DynamicDim, ...] = ()
    fill: str = ""
    """`ZEROS`, `ONES`, or `NORMAL` with `mean` and `std`; empty: what is usual for the dtype, in the range if any."""
    mean: float = 0.0
    std: float = 1.0
    elements: tuple[Element, ...] = ()
    """Single elements with a value of their own, by their index."""

    def with_name(self, name: str) -> InputSpec:
        return replace(self, name=name)

    def resized(self, sizes: dict[int, int]) -> InputSpec:
        """The same with `sizes` (axis → size)."""
        return replace(self, shape=tuple(sizes.get(axis, size) for axis, size in enumerate(self.shape)))

    @property
    def declared(self) -> bool:
        """Somebody said what values it has: they are not to be scaled or turned over."""
        return self.low is not None or bool(self.fill) or bool(self.elements)

    @property
    def sizes(self) -> str:
        """ "batch:1..64,10"."""
        dynamic = {dim.axis: dim for dim in self.dynamic}
        return ",".join(
            f"{dynamic[axis].name}:{dynamic[axis].minimum}..{dynamic[axis].maximum}" if axis in dynamic else str(size)
            for axis, size in enumerate(self.shape)
        )

    @property
    def values(self) -> str:
        """What stands between the braces: "0..100", "normal(0,2);[0,3]=nan"; empty: what is usual."""
        kind = self.fill
        if self.fill == NORMAL:
            kind = f"normal({number(self.mean)},{number(self.std)})"
        elif not self.fill and self.low is not None and self.high is not None:
            kind = f"{number(self.low)}..{number(self.high)}"
        set_to = [f"[{','.join(map(str, index))}]={number(value)}" for index, value in self.elements]
        return ";".join([kind, *set_to]) if kind or set_to else ""

    @property
    def text(self) -> str:
        """The spec that parses to this one."""
        return f"{self.name}={self.anonymous}" if self.name else self.anonymous

    @property
    def anonymous(self) -> str:
        """`text` without the name."""
        return f"{self.dtype}[{self.sizes}]" + (f"{{{self.values}}}" if self.values else "")


@dataclass(frozen=True)
class Plain:
    """An argument that is no tensor: None, a truth, a number, a text, or lists and dicts of them."""

    name: str
    """Argument of forward, or a place inside one."""
    value: Any

    @property
    def text(self) -> str:
        """The spec that parses to this one."""
        return f"{self.name}={self.value!r}"


@dataclass(frozen=True)
class Step:
    """One step into an argument."""

    kind: str
    """"key" of a dict, place in a "list" or in a "tuple"."""
    key: str | int

    @property
    def text(self) -> str:
        if self.kind == "list":
            return f"[{self.key}]"
        plain = self.kind == "tuple" or re.fullmatch(NAME, str(self.key)) is not None
        return f".{self.key}" if plain else f'["{self.key}"]'


def number(value: bool | int | float) -> str:
    """A number as it is read back: whole ones without a point."""
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    return repr(value)


def steps_of(place: str) -> tuple[str, tuple[Step, ...]]:
    """(argument, steps into it) of a place such as `batch.items[0]["pixel values"]`."""
    head = re.match(NAME, place)
    name = head[0] if head else ""
    steps = []
    for found in _STEP.finditer(place, len(name)):
        if found["tuple"] is not None or found["list"] is not None:
            kind = "tuple" if found["tuple"] is not None else "list"
            steps.append(Step(kind, int(found[kind])))
        else:
            steps.append(Step("key", found["key"] if found["key"] is not None else found["quoted"]))
    return name, tuple(steps)
