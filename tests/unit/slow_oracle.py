"""A slow comparison in Python's own exact arithmetic, written apart from the one it checks: no torch but for reading.

Numbers are decoded from their bit patterns by `struct`, differences are fractions, and every metric is a loop.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import torch

CODES = {torch.float16: ("e", "h"), torch.float32: ("f", "i"), torch.float64: ("d", "q")}


@dataclass
class Element:
    """One element of both sides."""

    a: tuple[Any, ...]
    """Parts of the reference as Python numbers: one, or two of a complex number."""
    b: tuple[Any, ...]
    bits_a: tuple[int, ...]
    bits_b: tuple[int, ...]
    width: int
    """Bits of a part."""

    @property
    def finite(self) -> tuple[bool, bool]:
        return all(map(math.isfinite, self.a)), all(map(math.isfinite, self.b))

    @property
    def nan(self) -> tuple[bool, bool]:
        return any(map(math.isnan, self.a)), any(map(math.isnan, self.b))

    @property
    def differs(self) -> bool:
        return self.bits_a != self.bits_b and not all(self.nan)

    @property
    def clash(self) -> bool:
        return not all(self.finite) and not all(self.nan) and self.a != self.b

    def distance(self) -> float:
        if self.clash:
            return math.inf
        if not all(self.finite):
            return 0.0
        return root(sum((Fraction(y) - Fraction(x)) ** 2 for x, y in zip(self.a, self.b, strict=True)))

    def size(self) -> float:
        return root(sum(Fraction(x) ** 2 for x in self.a))

    def ratio(self) -> float:
        distance, size = self.distance(), self.size()
        return math.inf if math.isinf(distance) else number(Fraction(distance) / Fraction(size))

    def ulps(self) -> int:
        return max(
            abs(order(x, self.width) - order(y, self.width)) for x, y in zip(self.bits_a, self.bits_b, strict=True)
        )


@dataclass
class Expected:
    """Every metric of one leaf."""

    numbers: dict[str, float] = field(default_factory=dict)
    """Those that rounding may touch."""
    exact: dict[str, Any] = field(default_factory=dict)
    near: bool = False
    """An element stands so near to allclose's limit that rounding decides."""


def root(square: Fraction | int) -> float:
    """√ of a fraction as the nearest float, also where its square is none; infinity above float64's range."""
    if square == 0:
        return 0.0
    square = Fraction(square)
    shift = (square.numerator.bit_length() - square.denominator.bit_length()) // 2
    scaled = square / Fraction(4) ** shift
    try:
        return math.ldexp(math.sqrt(scaled), shift)
    except OverflowError:
        return math.inf


def number(value: Fraction) -> float:
    try:
        return float(value)
    except OverflowError:
        return math.inf


def order(bits: int, width: int) -> int:
    """Place of a number among all of its format, from its pattern as a signed integer: sign and magnitude."""
    return bits if bits >= 0 else -(bits + (1 << (width - 1)))


def elements(a: torch.Tensor, b: torch.Tensor) -> list[Element]:
    sides = [decoded(tensor) for tensor in (a, b)]
    width = 8 * a.element_size() // (2 if a.is_complex() else 1)
    return [Element(x, y, p, q, width) for (x, p), (y, q) in zip(*sides, strict=True)]


def decoded(tensor: torch.Tensor) -> list[tuple[tuple[Any, ...], tuple[int, ...]]]:
    """(parts, their bit patterns) of every element in row-major order."""
    tensor = tensor.resolve_conj().resolve_neg().contiguous()
    if tensor.is_complex():
        halves = decoded(torch.view_as_real(tensor).reshape(-1))
        pairs = zip(halves[::2], halves[1::2], strict=True)
        return [((*x, *y), (*p, *q)) for (x, p), (y, q) in pairs]
    flat = tensor.reshape(-1)
    if not tensor.is_floating_point():
        return [((int(value),), (int(value),)) for value in flat.tolist()]
    if tensor.dtype == torch.bfloat16:
        patterns = flat.view(torch.int16).tolist()
        return [(struct.unpack("<f", struct.pack("<hh", 0, bits)), (bits,)) for bits in patterns]
    code, whole = CODES[tensor.dtype]
    integer = {"h": torch.int16, "i": torch.int32, "q": torch.int64}[whole]
    patterns = flat.view(integer).tolist()
    return [(struct.unpack("<" + code, struct.pack("<" + whole, bits)), (bits,)) for bits in patterns]


def decade(distance: float) -> int:
    return 0 if distance == 0 else min(20, max(1, sum(distance >= float(f"1e{power}") for power in range(-16, 4))))


def expected(a: torch.Tensor, b: torch.Tensor) -> Expected:
    """All of it; `a` and `b` have one dtype and shape, and at least one element."""
    found, every = Expected(), elements(a, b)
    inexact = a.is_floating_point() or a.is_complex()
    distances = [one.distance() for one in every]
    clash = any(one.clash for one in every)
    both = [one for one in every if all(one.finite)]
    known = [one for one in every if one.finite[0]]
    squares = sum(
        (sum((Fraction(y) - Fraction(x)) ** 2 for x, y in zip(one.a, one.b, strict=True)) for one in both), Fraction(0)
    )
    scale = sum((Fraction(x) ** 2 for one in known for x in one.a), Fraction(0))
    overflow = any(math.isinf(distance) for distance in distances)
    ratios = [one.ratio() for one in known if any(one.a)]
    found.numbers = {
        "max_abs": max(distances),
        "mean_abs": math.inf if overflow else number(sum(map(Fraction, distances), Fraction(0)) / len(every)),
        "max_rel": max(ratios, default=0.0),
        "mean_rel": math.fsum(ratios) / len(ratios) if ratios else 0.0,
        "rmse": math.inf if overflow else root(squares / len(every)),
        "scale": root(scale / len(known)) if known else 0.0,
        "peak": max((one.size() for one in known), default=0.0),
        "cosine": cosine(both) if any(one.differs for one in every) else 1.0,
    }
    ulps = sorted(one.ulps() for one in both) if inexact else []
    limits = [Fraction(1e-8) + Fraction(1e-5) * Fraction(one.size()) for one in both]
    gaps = [Fraction(one.distance()) - limit for one, limit in zip(both, limits, strict=True)]
    found.near = any(abs(gap) <= limit * Fraction(1, 10**9) for gap, limit in zip(gaps, limits, strict=True))
    nans = [sum(one.nan[side] for one in every) for side in (0, 1)]
    found.exact = {
        "mismatched": sum(one.differs for one in every),
        "max_ulp": max(ulps, default=0),
        "p99_ulp": ulps[math.ceil(0.99 * len(ulps)) - 1] if ulps else 0,
        "allclose": not clash and not any(nans) and all(gap <= 0 for gap in gaps),
        "nan_a": nans[0],
        "nan_b": nans[1],
        "inf_a": sum(not one.finite[0] and not one.nan[0] for one in every),
        "inf_b": sum(not one.finite[1] and not one.nan[1] for one in every),
        "decades": tuple(sum(decade(distance) == place for distance in distances) for place in range(21)),
    }
    found.exact["top1"], found.exact["top5"] = tops(every, a)
    return found


def cosine(both: list[Element]) -> float:
    inner = sum((Fraction(x) * Fraction(y) for one in both for x, y in zip(one.a, one.b, strict=True)), Fraction(0))
    squares = [
        sum((Fraction(x) ** 2 for one in both for x in side(one)), Fraction(0))
        for side in (lambda one: one.a, lambda one: one.b)
    ]
    if not all(squares):
        return 1.0 if not any(squares) else 0.0
    size = root(abs(inner) ** 2 / (squares[0] * squares[1]))
    return -size if inner < 0 else size


def tops(every: list[Element], a: torch.Tensor) -> tuple[float, float]:
    if not a.is_floating_point() or a.ndim < 1 or a.shape[-1] < 2:
        return -1.0, -1.0
    columns = a.shape[-1]
    rows = [every[start : start + columns] for start in range(0, len(every), columns)]
    one = five = 0
    for row in rows:
        sides = [[key(element.a[0]) for element in row], [key(element.b[0]) for element in row]]
        place = sides[0].index(max(sides[0]))
        one += place == sides[1].index(max(sides[1]))
        five += sum(other > sides[1][place] for other in sides[1]) < 5
    return one / len(rows), five / len(rows) if columns > 5 else -1.0


def key(value: float) -> tuple[bool, float]:
    return (True, 0.0) if math.isnan(value) else (False, value)
