"""Two files beside each other, looked into without running any of their code: what is asked, and what differs."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class InspectPair:
    """Compare what two files hold: names, shapes and dtypes. Result: `InspectedPair`."""

    path: str
    other: str
    values: bool = False
    """Read the tensors' values and compare these too; for files that hold tensors and run nothing."""


@dataclass(frozen=True)
class ValueDifference:
    """One tensor that both files hold with other values."""

    name: str
    differing: int
    """Elements whose bits differ."""
    elements: int
    max_abs: float
    """Largest |Δ| of elements that are finite in both; NaN where the tensor is not dense."""
    relative: float
    """RMS of Δ over the RMS of the first file's; NaN where the latter is 0, or the tensor is not dense."""
    nonfinite: int
    """Elements that are NaN or infinite in one file only."""


@dataclass(frozen=True)
class InspectedPair:
    """What differs between two files."""

    path: str
    other: str
    kinds: tuple[str, str]
    trust: tuple[str, str]
    bytes: tuple[int, int]
    tensors: tuple[int, int]
    """How many each holds."""
    alike: int
    """Names that both have, with the same shape and dtype."""
    first: tuple[str, ...]
    """Names of the first alone; at most 20,000, as in the lists below."""
    second: tuple[str, ...]
    shapes: tuple[str, ...]
    """"head.weight [10,8] against [5,8]"."""
    dtypes: tuple[str, ...]
    """"head.weight float32 against float16"."""
    ties: tuple[str, ...]
    """"a and b share memory in the first file only"."""
    words: tuple[str, ...]
    """Plain sentences: whether it is the same, what explains the names."""
    compared: int = 0
    """Tensors whose values were compared, floats of two widths after rounding to the narrower; 0: not asked for."""
    differing: tuple[ValueDifference, ...] = ()
    """Those with other values: what has no measure first, then the largest relative difference."""
    uncompared: tuple[str, ...] = ()
    """Names that fit whose values could not be compared, such as tensors that the file describes and does not hold."""
