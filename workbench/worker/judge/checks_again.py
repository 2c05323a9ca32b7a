"""Owns the question before an accusation: does the very same input get the same answer when nothing else is asked?"""

from __future__ import annotations

from typing import Any

from workbench.worker.judge.checks_run import Subject

TIMES = 6
"""Asked once more so often: what differs at every third call is still seen."""

DIFFERS = "The same input asked again differs already: see the check repeatable."


def differs_already(subject: Subject, args: Any = None, kwargs: Any = None, seed: int = 0) -> bool:
    """Whether the bench's model, asked the same under the same seed again and again, gives another answer.

    A clock, a counter or uninitialised memory would otherwise be blamed on whatever the check asks about.
    """
    first = subject.answer(args, kwargs, seed=seed)
    for _ in range(TIMES):
        found = subject.compared(first, subject.answer(args, kwargs, seed=seed))
        if found.structure or found.differs:
            return True
    return False
