"""Owns how a check that saw two answers differ asks for the cause: which runs are repeated, and the words of a row.

The search is `divergence.py`'s.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from workbench.worker.judge.checks_places import named
from workbench.worker.judge.checks_run import Subject
from workbench.worker.judge.divergence import find_from_here
from workbench.worker.judge.evidence import short

FORWARDS = 8
"""So many forwards, watched, a search takes at least."""
NO_TIME = "There was no time left to look for the cause: give it more with --timeout."


def cause_of(
    subject: Subject, calls: Sequence[tuple[Any, Any]], seeded: bool, warm: int, threads: tuple[int, int] = (0, 0)
) -> tuple[str, str]:
    """(cause, remedy): why the last of `calls` does not answer as the first, from the model as it was before the check.

    `seeded`: every run begins with the same generators; `warm`: so often the first of them is run
    before. Both are empty when watched runs do not show it.
    """
    if subject.vast:
        return "Its output is too large to be followed from module to module.", ""
    if not subject.room_for(FORWARDS + warm):
        return NO_TIME, ""
    subject.snapshot.restore()
    for _ in range(warm):
        subject.answer(*calls[0], seed=subject.seed)
    declared = subject.policy.may_move if subject.policy.mutates else None
    seconds = (1 - subject.spent) * subject.budget / 2
    model = subject.bench.model
    found = find_from_here(model, subject.bench.modes, calls, subject.job, seeded, declared, seconds, threads)
    if found is None:
        return "", ""
    at = f" at {short(found.where)}" if found.where else ""
    operator = f" The first operator with another result: {found.operator}." if found.operator else ""
    place = named(found.module, model.get_submodule(found.module))
    words = f"The{found.words[3:]}" if found.words.startswith("the model") else found.words
    return f"First to differ: {place}{at}: {found.kind}. {words}{operator}", found.remedy
