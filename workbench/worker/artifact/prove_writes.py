"""What a call leaves in its inputs: an artifact may write to them only where eager does, and the same values.

One that leaves alone what eager writes to is told of, and is not refused: runtimes without memory of torch's cannot.
Compares tensors and calls nothing. Carried into a bundle's verify.py: torch, the standard library and carried modules
only.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch

from workbench.protocol.artifacts import CheckRow, Finding
from workbench.protocol.runs import BEYOND, IDENTICAL, INCOMPARABLE, LeafDiff, Yardstick
from workbench.worker.judge.compare import compare_leaf
from workbench.worker.judge.verdict import judge, verdict_eps

WRITES_ALONE = "writes to its input {}, which eager leaves as it was"
WRITES_ALIKE = "writes to its input {}, as eager does"
WRITES_OTHERS = "writes other values to its input {} than eager does"
WRITES_NEARLY = "writes to its input {} nearly as eager does, beyond the tolerance"
WRITES_NOTHING = "leaves its input {} as it was, which eager writes to"

WRITES_SHARE = 1e-3
"""Of the largest value: up to it another kernel may have rounded otherwise, for what is written has no float64 twin."""

Writes = tuple[tuple[str, str], ...]
"""(one of the sentences above, path of an input tensor) of one case."""


def changed_tensors(
    before: dict[str, torch.Tensor], now: Iterable[tuple[str, torch.Tensor]]
) -> dict[str, torch.Tensor]:
    """Of `now`, what has other bits than `before` has under the same path; tensors without readable bits never."""
    marks = {path: (compare_leaf(path, before[path], tensor).mark, tensor) for path, tensor in now if path in before}
    return {path: tensor for path, (mark, tensor) in marks.items() if mark not in (IDENTICAL, INCOMPARABLE)}


def writes_of(
    before: dict[str, torch.Tensor], after: dict[str, torch.Tensor], now: Sequence[tuple[str, torch.Tensor]]
) -> Writes:
    """What an artifact did to a case's inputs: `before` the call, `after` eager's for those that eager changes."""
    changed = changed_tensors(before, now)
    found = [(WRITES_ALONE, path) for path in changed if path not in after]
    for path, tensor in now:
        if path in after:
            found.append((_writes_beside(compare_leaf(path, after[path], tensor), path in changed), path))
    return tuple(found)


def _writes_beside(diff: LeafDiff, wrote: bool) -> str:
    """The sentence for an input that eager writes to, by what the artifact left in it."""
    if judge(diff, Yardstick("tolerance")).mark != BEYOND:
        return WRITES_ALIKE
    if not wrote:
        return WRITES_NOTHING
    eps = verdict_eps(diff.dtype)
    near = eps and not diff.reason and diff.max_abs <= max(WRITES_SHARE, 16 * eps) * diff.peak
    return WRITES_NEARLY if near else WRITES_OTHERS


def writes_findings(cases: Iterable[Writes]) -> list[Finding]:
    """One finding a sentence, with every input that it is true of."""
    paths: dict[str, dict[str, None]] = {}
    for case in cases:
        for words, path in case:
            paths.setdefault(words, {})[path] = None
    remedy = "Pass a copy of what you need afterwards."
    return [Finding("mutates_inputs", words.format(", ".join(held)), remedy) for words, held in paths.items()]


def writes_row(cases: Iterable[Writes]) -> CheckRow | None:
    """`repeat` of an artifact that spoils its own inputs, or leaves other values in them; None for any other."""
    found = [one for case in cases for one in case]
    for words, cause, remedy in _WRITES_REFUSED:
        listed = ", ".join(dict.fromkeys(path for said, path in found if said == words))
        if listed:
            return CheckRow("repeat", "fail", words.format(listed), cause, remedy)
    return None


_WRITES_REFUSED = (
    (
        WRITES_ALONE,
        "a second call with the same tensors is another call",
        "Export the model as eager runs it: without a forward that changes its arguments in place.",
    ),
    (
        WRITES_OTHERS,
        "who goes on with these tensors after the call goes on with other numbers",
        "Export it again from this model, or without a forward that changes its arguments in place.",
    ),
)
"""Sentences that are a refusal, with their cause and remedy."""
