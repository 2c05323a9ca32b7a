"""What a call leaves in its inputs: an artifact may write to them only where eager does, and the same values.

Compares tensors and calls nothing. Carried into a bundle's verify.py: torch, the standard library and carried modules
only.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch

from workbench.protocol.artifacts import CheckRow, Finding
from workbench.protocol.runs import BEYOND, IDENTICAL, INCOMPARABLE, Yardstick
from workbench.worker.judge.compare import compare_leaf
from workbench.worker.judge.verdict import judge

WRITES_ALONE = "writes to its input {}, which eager leaves as it was"
WRITES_ALIKE = "writes to its input {}, as eager does"
WRITES_OTHERS = "leaves its input {} with other values than eager, which writes to it"

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
    found = [(WRITES_ALONE, path) for path in changed_tensors(before, now) if path not in after]
    for path, tensor in now:
        if path in after:
            mark = judge(compare_leaf(path, after[path], tensor), Yardstick("tolerance")).mark
            found.append((WRITES_OTHERS if mark == BEYOND else WRITES_ALIKE, path))
    return tuple(found)


def writes_findings(cases: Iterable[Writes]) -> list[Finding]:
    """One finding a sentence, with every input that it is true of."""
    paths: dict[str, dict[str, None]] = {}
    for case in cases:
        for words, path in case:
            paths.setdefault(words, {})[path] = None
    remedy = "Pass a copy of what you need afterwards."
    return [Finding("mutates_inputs", words.format(", ".join(held)), remedy) for words, held in paths.items()]


def writes_row(cases: Iterable[Writes]) -> CheckRow | None:
    """`repeat` of an artifact that spoils its own inputs; None for any other."""
    alone = [one for case in cases for one in case if one[0] == WRITES_ALONE]
    if not alone:
        return None
    listed = ", ".join(dict.fromkeys(path for _, path in alone))
    remedy = "Export the model as eager runs it: without a forward that changes its arguments in place."
    cause = "a second call with the same tensors is another call"
    return CheckRow("repeat", "fail", WRITES_ALONE.format(listed), cause, remedy)
