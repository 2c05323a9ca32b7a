"""Which passages of an artifact stand for which of eager's: by place, by what the line says, by what it computes.

An artifact that was made from this very code has its lines at the same places. One that was made from another copy of
the file, or from a class in another file, has them elsewhere: there the text of a line counts, which the exporters
write down. A trace has places only; where the file is gone or was edited, the operators say which line is which.
Judges nothing.
"""

from __future__ import annotations

import difflib
import linecache
import os
import sys
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass

import torch

from workbench.worker.artifact.passages import Passage
from workbench.worker.bench.failing import is_users

SHARE = 1e-4
"""Of the largest value of a tensor: a difference above it (64 eps where that is more) is no noise of one operator."""

PLACE, TEXT, OPERATORS = "place", "text", "operators"
"""What two passages have in common that stand for one another."""

FUSED = "every line agrees where ONNX Runtime is made to show its value: it parts where it fuses operators"
"""Of a graph that parts as a whole, and at no line."""

_FEW = 3
"""Passages below which the same operators in a row may be chance."""


@dataclass
class Aligned:
    """Two runs side by side."""

    by: str
    """PLACE, TEXT or OPERATORS."""
    blocks: Sequence[tuple[str, list[Passage], list[Passage]]]
    """("equal", "replace", "delete" or "insert", eager's passages, the artifact's), in order; "equal": pairs."""
    places: Places
    """Of this code."""

    @property
    def own_code(self) -> bool:
        """Whether the artifact was made from other code than this."""
        return self.by != PLACE

    def before(self, passage: Passage) -> Passage | None:
        """Eager's passage before one of its own; None for its first."""
        ours = [one for _, mine, _ in self.blocks for one in mine]
        place = next(number for number, one in enumerate(ours) if one is passage)
        return ours[place - 1] if place else None

    def times(self, passage: Passage) -> tuple[int, int]:
        """How often eager and how often the artifact compute a line."""
        key = _key(self.by, passage)
        ours = sum(_key(self.by, one) == key for _, mine, _ in self.blocks for one in mine)
        theirs = sum(_key(self.by, one) == key for _, _, its in self.blocks for one in its)
        return ours, theirs

    def more(self, passage: Passage) -> int:
        """How much oftener eager computes a line than the artifact."""
        ours, theirs = self.times(passage)
        return ours - theirs

    def score(self) -> tuple[int, int]:
        """(pairs that agree, pairs of one shape)."""
        pairs = [pair for word, ours, theirs in self.blocks if word == "equal" for pair in zip(ours, theirs)]  # noqa: B905 (as many)
        known = [(one.value, its.value) for one, its in pairs if one.value is not None and its.value is not None]
        same = [(mine, its) for mine, its in known if mine.shape == its.shape]
        return sum(not differs(mine, its) for mine, its in same), len(same)


def aligned(ours: list[Passage], theirs: list[Passage]) -> Aligned:
    """Both runs side by side, by what fits them best; where two fit as well, by the one that says more."""
    places = Places(ours)
    here = all(places.hold(one) for one in theirs)
    if here and all(one.text for one in theirs):
        return _by(PLACE, ours, theirs, places)
    first = _by(PLACE if here else TEXT, ours, theirs, places)
    computed = _by(OPERATORS, ours, theirs, places)
    (agreed, same), (others_agreed, others_same) = first.score(), computed.score()
    if others_agreed > agreed:
        return computed
    # everything parts from the first line on, and all lines but few are found by what they compute alone
    whole = _FEW <= others_same == len(ours) == len(theirs)
    return computed if others_agreed == agreed and whole and 2 * same < others_same else first


class Places:
    """The lines of the code that eager runs."""

    def __init__(self, ours: list[Passage]) -> None:
        self._files: dict[str, set[str]] = {}
        for one in ours:
            self._files.setdefault(os.path.basename(one.file), set()).add(one.file)
        others: dict[str, set[str]] = {}  # a way that was not taken may lead there
        for module in list(sys.modules.values()):
            file = getattr(module, "__file__", None) or ""
            if file and is_users(file):
                others.setdefault(os.path.basename(file), set()).add(file)
        self._files = {**others, **self._files}

    def hold(self, theirs: Passage) -> bool:
        """Whether the line of an artifact's passage is one of this code, as far as it is known what it says."""
        name, line = theirs.key
        said = theirs.source
        files = self._files.get(name, ())
        return any(linecache.getline(file, line).strip() == said for file in files) if said else bool(files)


def _by(what: str, ours: list[Passage], theirs: list[Passage], places: Places) -> Aligned:
    mine, its = ([_key(what, one) for one in side] for side in (ours, theirs))
    matcher = difflib.SequenceMatcher(None, mine, its, autojunk=False)
    blocks = [(word, ours[start:end], theirs[other:stop]) for word, start, end, other, stop in matcher.get_opcodes()]
    return Aligned(what, blocks, places)


def _key(what: str, one: Passage) -> Hashable:
    if what == OPERATORS:
        return tuple(_computing(one.kinds))
    return (one.source or one.key) if what == TEXT else one.key


_LAYOUT = (
    *("t", "numpy_T", "view", "view_as", "reshape", "transpose", "permute", "expand", "expand_as", "contiguous"),
    *("clone", "detach", "alias", "dropout", "feature_dropout", "unsqueeze", "squeeze", "select", "slice", "flatten"),
    *("unflatten", "to", "to_copy", "type_as", "lift_fresh", "size", "as_strided", "unsafe_view", "movedim"),
    *("unbind", "split", "split_with_sizes", "chunk", "tensor_split"),
)
"""Operators that compute nothing: one side has them where the other does without."""

_PRODUCTS = ("mm", "addmm", "bmm", "baddbmm", "matmul", "linear", "mv", "addmv", "dot")
"""What a matrix product is called below and above autograd."""


def _computing(kinds: tuple[str, ...]) -> Iterator[str]:
    """Names that an operator has alike in eager's dispatch, in a trace and in a program."""
    for kind in kinds:
        name = kind.split("::")[-1].removeprefix("aten.").split(".")[0].strip("_").removeprefix("native_")
        if "conv" in name:
            yield "conv"
        elif name in _PRODUCTS:
            yield "product"
        elif name.startswith("scaled_dot_product"):
            yield "attention"
        elif name not in _LAYOUT:
            yield name.removesuffix("_with_indices")


# How far two values are apart


def differs(ours: torch.Tensor | None, theirs: torch.Tensor | None) -> str:
    """How far two values are apart, in words; empty where they are not by more than one operator's noise."""
    if ours is None or theirs is None:
        return ""
    worst = largest(ours, theirs)
    if not worst:
        return shapes(ours, theirs)
    top = peak(ours)
    eps = torch.finfo(ours.dtype).eps if ours.is_floating_point() else 0.0
    if worst <= max(SHARE, 64 * eps) * top:
        return ""
    return f"max|Δ| {worst:.3g} where eager's largest is {top:.3g}"


def shapes(ours: torch.Tensor | None, theirs: torch.Tensor | None) -> str:
    """How two shapes differ, in words; empty where they do not."""
    if ours is None or theirs is None or ours.shape == theirs.shape:
        return ""
    return f"shape {list(theirs.shape)} in place of {list(ours.shape)}"


def relative(ours: torch.Tensor | None, theirs: torch.Tensor | None) -> float:
    """The largest |Δ| as a share of the largest value."""
    worst = largest(ours, theirs)
    return worst / max(peak(ours), worst) if worst and ours is not None else 0.0


def peak(value: torch.Tensor) -> float:
    """The largest finite magnitude."""
    return float(torch.nan_to_num(value.double(), 0.0, 0.0, 0.0).abs().max())


def largest(ours: torch.Tensor | None, theirs: torch.Tensor | None) -> float | None:
    """The largest finite |Δ|; None where they cannot be compared."""
    if ours is None or theirs is None or ours.shape != theirs.shape or not ours.numel():
        return None
    return float(torch.nan_to_num((ours.double() - theirs.double()).abs(), 0.0, 0.0, 0.0).max())
