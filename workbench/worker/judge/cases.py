"""One case measured and many judged: an answer against eager's and both against float64, pooled over the cases.

Judges single leaves, never the whole; marks are `verdict.py`'s.
Carried into a bundle's verify.py: torch, the standard library and carried modules only.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import torch

from workbench.protocol.runs import BEYOND, IDENTICAL, INCOMPARABLE, LeafDiff, Yardstick
from workbench.worker.judge.compare import COMPARE_CLASH, compare, relative_error
from workbench.worker.judge.leaves import Flat
from workbench.worker.judge.pieces import is_plain_tensor
from workbench.worker.judge.verdict import judge, pool, pooled, worst_mark

Errors = tuple[tuple[float, float], tuple[float, float]]
"""Eager's and the other side's own error against float64, each as (RMS, largest) relative to the case's RMS."""


@dataclass(frozen=True)
class Measured:
    """One case after the other side answered it."""

    index: int
    batch: int
    raised: str = ""
    """What it raised, in one line; empty when it answered."""
    structure: str = ""
    """How the tree, a shape or a dtype differs; empty when they agree."""
    nonfinite: str = ""
    """Where NaN or infinity stand at other places than eager's."""
    leaves: tuple[LeafDiff, ...] = ()
    errors: dict[str, Errors] | None = None
    """By leaf path, for floating leaves that have a float64 twin."""


OTHER_FORM = ("shape", "dtype", "layout", "missing", "not ")
"""How the reasons of leaves begin that have another form than the reference, so that no values stand side by side."""

CaseKind = TypeVar("CaseKind", bound=Measured)


def measured(case: CaseKind, eager: Flat, answer: Flat, exact: dict[str, torch.Tensor]) -> CaseKind:
    """`case` with what was measured of its `answer`; `exact`: float64 answers by leaf path, as far as there are any."""
    structure, diffs = compare(eager, answer)
    shapes = [f"{one.path}: {one.reason}" for one in diffs if one.reason.startswith(OTHER_FORM)]
    words = structure or "; ".join(shapes[:3])
    if words:
        return replace(case, structure=words, leaves=diffs)
    answers = dict(answer.leaves)
    errors: dict[str, Errors] = {}
    nonfinite = [f"{one.path}: {one.reason}" for one in diffs if one.reason.startswith(COMPARE_CLASH)]
    refused = {one.path for one in diffs if one.mark == INCOMPARABLE}  # no values to be read
    for path, leaf in eager.leaves:
        if (
            path in exact
            and path not in refused
            and is_plain_tensor(leaf)
            and (leaf.is_floating_point() or leaf.is_complex())
        ):
            own = relative_error(leaf, exact[path], leaf)
            errors[path] = own, relative_error(answers[path], exact[path], leaf)
    return replace(case, nonfinite="; ".join(nonfinite[:3]), leaves=diffs, errors=errors)


@dataclass(frozen=True)
class LeafVerdict:
    """One output leaf over all cases."""

    path: str
    mark: str
    multiple: float
    worst: LeafDiff
    """The case furthest from eager, carrying the pooled mark."""
    case: int
    yardstick: str
    """What it was judged with: "exact", "float64", "tolerance" or "given"."""


def judge_leaves(results: Sequence[Measured], yardstick: Yardstick) -> list[LeafVerdict]:
    """The verdict on each output leaf, pooled over every case that answered with the right structure."""
    usable = [one for one in results if not one.raised and not one.structure]
    paths = list(dict.fromkeys(diff.path for one in usable for diff in one.leaves))
    return [_cases_judge_leaf(path, usable, yardstick) for path in paths]


def _cases_judge_leaf(path: str, results: Sequence[Measured], yardstick: Yardstick) -> LeafVerdict:
    diffs = [(one.index, diff) for one in results for diff in one.leaves if diff.path == path]
    case, worst = _cases_worst(diffs, yardstick)
    dtype = getattr(torch, worst.dtype, None)
    inexact = isinstance(dtype, torch.dtype) and (dtype.is_floating_point or dtype.is_complex)
    if all(diff.mark == IDENTICAL for _, diff in diffs):
        return LeafVerdict(path, IDENTICAL, 0.0, replace(worst, mark=IDENTICAL), case, "exact")
    word = yardstick.kind if inexact else "exact"
    if word == "float64":
        # a leaf whose noise is not known, or whose float64 output is zero everywhere, has nothing to be relative to
        eps = torch.finfo(dtype).eps  # type: ignore[arg-type]
        found = _cases_pooled(path, results, yardstick, eps) if path in yardstick.leaves else None
        if found is not None:
            return found
        word, yardstick = "tolerance", Yardstick("tolerance")
        case, worst = _cases_worst(diffs, yardstick)
    judged = [judge(diff, yardstick) for _, diff in diffs]
    mark = worst_mark(diff.mark for diff in judged)
    return LeafVerdict(path, mark, max(diff.noise_multiple for diff in judged), worst, case, word)


def _cases_pooled(path: str, results: Sequence[Measured], yardstick: Yardstick, eps: float) -> LeafVerdict | None:
    """The verdict on a floating leaf by its errors over all cases; None when no case has an error to be pooled.

    The pool only ever adds a reason to refuse: what compare has settled whatever the yardstick stays as it is, and a
    case that has no part in the pool is judged by itself, beside the usual size and noise of the others.
    """
    diffs = [(one, diff) for one in results for diff in one.leaves if diff.path == path]
    owns, others, scales, apart = [], [], [], []
    for one, diff in diffs:
        own, other = (one.errors or {}).get(path, ((math.inf, math.inf), (math.inf, math.inf)))
        known = math.isfinite(own[0]) and math.isfinite(own[1])
        if known:
            owns.append(own)
            others.append(other)
            scales.append(diff.scale)
        if diff.reason or not known:
            apart.append((one.index, diff))
    chain = yardstick.leaves[path].chain
    mark, multiple = pooled(owns, others, eps, chain)
    if mark == INCOMPARABLE:
        return None
    usual = math.hypot(*scales) / math.sqrt(len(scales))
    alone = Yardstick("float64", {path: replace(pool(owns, eps), scale=usual, chain=chain)})
    judged = [(index, judge(diff, alone)) for index, diff in apart]
    mark = worst_mark([mark, *(diff.mark for _, diff in judged)])
    multiple = max([multiple, *(diff.noise_multiple for _, diff in judged)])
    refused = [(index, diff) for index, diff in judged if diff.mark in (BEYOND, INCOMPARABLE)]
    case, worst = _cases_worst(refused or [(one.index, diff) for one, diff in diffs], yardstick)
    return LeafVerdict(path, mark, multiple, replace(worst, mark=mark, noise_multiple=multiple), case, "float64")


def _cases_worst(diffs: list[tuple[int, LeafDiff]], yardstick: Yardstick) -> tuple[int, LeafDiff]:
    return max(((index, judge(diff, yardstick)) for index, diff in diffs), key=lambda pair: _cases_distance(pair[1]))


def _cases_distance(diff: LeafDiff) -> tuple[int, float]:
    order = {IDENTICAL: 0, BEYOND: 2, INCOMPARABLE: 3}.get(diff.mark, 1)
    relative = diff.noise_largest
    return order, math.inf if relative != relative else relative
