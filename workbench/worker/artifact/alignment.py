"""Which passages of an artifact stand for which of eager's: by place, by what the line says, by what it computes.

An artifact that was made from this very code has its lines at the same places. One that was made from another copy of
the file, or from a class in another file, has them elsewhere: there the text of a line counts, which the exporters
write down. A trace has places only; where the file is gone or was edited, the operators say which line is which.
Judges nothing.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import torch

from workbench.worker.artifact.matching import matched
from workbench.worker.artifact.passages import Passage
from workbench.worker.artifact.places import Places

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
    keys: Mapping[int, Hashable]
    """Id of a passage → what it has in common with those that it may stand for."""

    def __post_init__(self) -> None:
        self._runs = (
            [one for _, mine, _ in self.blocks for one in mine],
            [one for _, _, its in self.blocks for one in its],
        )
        self._counts = [Counter(self.keys[id(one)] for one in run) for run in self._runs]
        self._before: dict[int, Passage | None] = {
            id(one): before for run in self._runs for before, one in zip([None, *run], run, strict=False)
        }
        self._of_key: dict[Hashable, list[Passage]] = {}
        for one in self._runs[0]:
            self._of_key.setdefault(self.keys[id(one)], []).append(one)

    @property
    def other_code(self) -> bool:
        """Whether the artifact was made from other code than this."""
        return self.by != PLACE

    def before(self, passage: Passage) -> Passage | None:
        """The passage before this one in its own run; None for the first."""
        return self._before[id(passage)]

    def times(self, passage: Passage) -> tuple[int, int]:
        """How often eager and how often the artifact compute a line."""
        ours, theirs = (counts[self.keys[id(passage)]] for counts in self._counts)
        return ours, theirs

    def more(self, passage: Passage) -> int:
        """How much oftener eager computes a line than the artifact."""
        ours, theirs = self.times(passage)
        return ours - theirs

    def like(self, passage: Passage) -> list[Passage]:
        """Eager's passages that count as this one."""
        return self._of_key.get(self.keys[id(passage)], [])

    def sure(self, passage: Passage) -> bool:
        """Whether no other line of this code may be the counterpart of what the artifact has in place of this one."""
        return not self.more(passage) or len({one.key for one in self.like(passage)}) == 1

    def idle(self, passage: Passage) -> bool:
        """Whether a line computes nothing: it hands values on as they are, or leaves what it is given as it was."""
        if passage.kinds and not any(_computing(passage.kinds)):
            return True
        before = self.before(passage)
        return before is not None and before.value is not None and same(before.value, passage.value)

    def merges(self, passage: Passage) -> bool:
        """Whether an exporter may have merged what a line computes into the batch norm that eager has behind it."""
        ours = [one for _, mine, _ in self.blocks for one in mine]
        behind = next((after for one, after in itertools.pairwise(ours) if one is passage), None)
        linear = not {"conv", "product"}.isdisjoint(_computing(passage.kinds))
        return linear and behind is not None and any("batch_norm" in kind for kind in behind.kinds)

    def score(self) -> tuple[int, int]:
        """(pairs that agree, pairs of one shape)."""
        pairs = [pair for word, ours, theirs in self.blocks if word == "equal" for pair in zip(ours, theirs)]  # noqa: B905 (as many)
        meant = [compared(*pair) for pair in pairs]
        known = [(one.value, its.value) for one, its in meant if one.value is not None and its.value is not None]
        alike = [(mine, its) for mine, its in known if mine.shape == its.shape]
        return sum(not differs(mine, its) for mine, its in alike), len(alike)


def aligned(ours: list[Passage], theirs: list[Passage], look: Callable[[], None] = lambda: None) -> Aligned:
    """Both runs side by side, by what fits them best; where two fit as well, by the one that says more.

    look: called now and then; what it raises ends the work.
    """
    places = Places(ours, theirs)
    here = all(places.hold(one) for one in theirs)
    if here and all(one.text for one in theirs):
        return _by(PLACE, ours, theirs, places, look)
    first = _by(PLACE if here else TEXT, ours, theirs, places, look)
    if not any(one.kinds for one in theirs):
        return first  # ONNX's operators are others than torch's
    computed = _by(OPERATORS, ours, theirs, places, look)
    (agreed, same), (others_agreed, others_same) = first.score(), computed.score()
    if others_agreed > agreed:
        return computed
    # everything parts from the first line on, and all lines but few are found by what they compute alone
    whole = _FEW <= others_same == len(ours) == len(theirs)
    return computed if others_agreed == agreed and whole and 2 * same < others_same else first


def _by(what: str, ours: list[Passage], theirs: list[Passage], places: Places, look: Callable[[], None]) -> Aligned:
    mine: Sequence[Hashable]
    its: Sequence[Hashable]
    if what == PLACE:
        mine, its = [one.key for one in ours], [places.key(one) for one in theirs]
    elif what == TEXT:
        mine, its = _texts(ours, theirs, places)
    else:
        mine, its = ([tuple(_computing(one.kinds)) for one in side] for side in (ours, theirs))
    blocks = [(word, ours[a:b], theirs[c:d]) for word, a, b, c, d in matched(mine, its, look)]
    keys = {id(one): key for one, key in zip([*ours, *theirs], [*mine, *its], strict=True)}
    return Aligned(what, blocks, keys)


def _texts(ours: list[Passage], theirs: list[Passage], places: Places) -> tuple[list[Hashable], list[Hashable]]:
    """What the lines say; of those that read alike in several functions of this code, the function too, as far as it
    is known of all of the artifact's."""
    said: dict[str, list[Passage]] = {}
    for one in ours:
        said.setdefault(one.source, []).append(one)
    functions: dict[int, str] = {}
    for text, alike in said.items():
        if not text or len({one.key for one in alike}) == 1:
            continue
        known = {id(one): places.scope(one) for one in alike}
        by_module: dict[str, set[str]] = {}
        for one in alike:
            by_module.setdefault(one.module, set()).add(known[id(one)])
        known |= {id(one): _function(one, by_module, places) for one in theirs if one.source == text}
        if all(known.values()):
            functions |= known
    mine, its = ([(one.source or one.key, functions.get(id(one), "")) for one in side] for side in (ours, theirs))
    return list(mine), list(its)


def _function(theirs: Passage, by_module: dict[str, set[str]], places: Places) -> str:
    """Which of this code's functions that have such a line an artifact's is in; empty where that is not known."""
    named = places.scope(theirs)
    if any(named in names for names in by_module.values()):
        return named
    ends = {name for module, names in by_module.items() if _end_alike(module, theirs.module) for name in names}
    return ends.pop() if len(ends) == 1 else ""


def _end_alike(module: str, other: str) -> bool:
    """Whether one path of a module is the other inside a wrapper."""
    return bool(module and other) and (f".{module}".endswith(f".{other}") or f".{other}".endswith(f".{module}"))


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


def compared(ours: Passage, theirs: Passage) -> tuple[Passage, Passage]:
    """Both with the values that stand for one another, where a line makes several."""
    if not ours.others and not theirs.others:
        return ours, theirs
    for mine, its in itertools.product((ours.value, *ours.others), (theirs.value, *theirs.others)):
        if mine is not None and its is not None and mine.dtype == its.dtype and not differs(mine, its):
            return replace(ours, value=mine), replace(theirs, value=its)
    return ours, theirs


def same(ours: torch.Tensor, theirs: torch.Tensor | None) -> bool:
    """Whether two values are the same numbers in the same shape."""
    return theirs is not None and (ours.shape, ours.dtype) == (theirs.shape, theirs.dtype) and torch.equal(ours, theirs)


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
