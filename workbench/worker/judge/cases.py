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
from workbench.worker.judge.compare import compare, relative_error
from workbench.worker.judge.leaves import Flat
from workbench.worker.judge.verdict import judge, pooled, worst_mark

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


CaseKind = TypeVar("CaseKind", bound=Measured)


def measured(case: CaseKind, eager: Flat, answer: Flat, exact: dict[str, torch.Tensor]) -> CaseKind:
    """`case` with what was measured of its `answer`; `exact`: float64 answers by leaf path, as far as there are any."""
    structure, diffs = compare(eager, answer)
    shapes = [
        f"{one.path}: {one.reason}" for one in diffs if one.reason.startswith(("shape", "dtype", "missing", "not "))
    ]
    words = structure or "; ".join(shapes[:3])
    if words:
        return replace(case, structure=words, leaves=diffs)
    answers = dict(answer.leaves)
    errors: dict[str, Errors] = {}
    nonfinite = []
    refused = {one.path for one in diffs if one.mark == INCOMPARABLE}  # sparse, quantised: no values to be read
    for path, leaf in eager.leaves:
        if path in refused:
            continue
        if leaf.is_floating_point() or leaf.is_complex():
            nonfinite.extend(_cases_nonfinite(path, leaf, answers[path]))
            if path in exact:
                own = relative_error(leaf, exact[path], leaf)
                errors[path] = own, relative_error(answers[path], exact[path], leaf)
    return replace(case, nonfinite="; ".join(nonfinite[:3]), leaves=diffs, errors=errors)


def _cases_nonfinite(path: str, eager: torch.Tensor, answer: torch.Tensor) -> list[str]:
    found = []
    for word, test in (("NaN", torch.isnan), ("infinity", torch.isinf)):
        here, there = test(eager), test(answer)
        if not torch.equal(here, there):
            found.append(f"{path}: {word} at {int(there.sum())} places, eager has {int(here.sum())}")
    return found


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
    judged = [(index, judge(diff, yardstick)) for index, diff in diffs]
    case, worst = max(judged, key=lambda pair: _cases_distance(pair[1]))
    errors = [one.errors[path] for one in results if one.errors and path in one.errors]
    dtype = getattr(torch, worst.dtype, None)
    inexact = isinstance(dtype, torch.dtype) and (dtype.is_floating_point or dtype.is_complex)
    if all(diff.mark == IDENTICAL for _, diff in diffs):
        return LeafVerdict(path, IDENTICAL, 0.0, replace(worst, mark=IDENTICAL), case, "exact")
    word = yardstick.kind if inexact else "exact"
    if word == "float64":
        # a leaf whose noise is not known, or whose float64 output is zero everywhere, has nothing to be relative to
        mark, multiple = INCOMPARABLE, 0.0
        if path in yardstick.leaves:
            eps = torch.finfo(dtype).eps  # type: ignore[arg-type]
            mark, multiple = pooled([own for own, _ in errors], [other for _, other in errors], eps)
        if mark != INCOMPARABLE:
            return LeafVerdict(path, mark, multiple, replace(worst, mark=mark, noise_multiple=multiple), case, word)
        word = "tolerance"
        judged = [(index, judge(diff, Yardstick(word))) for index, diff in diffs]
        case, worst = max(judged, key=lambda pair: _cases_distance(pair[1]))
    mark = worst_mark(diff.mark for _, diff in judged)
    multiple = max(diff.noise_multiple for _, diff in judged)
    return LeafVerdict(path, mark, multiple, worst, case, word)


def _cases_distance(diff: LeafDiff) -> tuple[int, float]:
    order = {IDENTICAL: 0, BEYOND: 2, INCOMPARABLE: 3}.get(diff.mark, 1)
    relative = diff.noise_largest
    return order, math.inf if relative != relative else relative
