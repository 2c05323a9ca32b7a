"""Owns the questions before an accusation: does the very same input get the same answer when nothing else is asked, and
does the difference show when nothing was asked before?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from workbench.worker.bench.modes import generators_kept
from workbench.worker.bench.words import some
from workbench.worker.job import Cancelled
from workbench.worker.judge.checks_run import Subject
from workbench.worker.judge.replay import Generators
from workbench.worker.judge.taken import Answer

TIMES = 6
"""Asked once more so often: what differs at every third call is still seen."""

SAME = "The same input asked again differs already"


def differs_already(subject: Subject, args: Any = None, kwargs: Any = None, seed: int = 0) -> str:
    """In words, that the bench's model, asked the same under the same seed again and again, gives another answer.

    Empty where it does not. A clock, a counter or uninitialised memory would otherwise be blamed on whatever the
    check asks about.
    """
    first = subject.answer(args, kwargs, seed=seed)
    for _ in range(TIMES):
        found = subject.compared(first, subject.answer(args, kwargs, seed=seed))
        if found.structure or found.differs:
            return already(subject, SAME)
    return ""


def already(subject: Subject, what: str) -> str:
    """`what`, where to look, and what the calls so far have left otherwise."""
    return f"{what}: see the check repeatable.{left_behind(subject)}"


def left_behind(subject: Subject) -> str:
    """A sentence that names what moved since the check began; empty where nothing undeclared did."""
    moved = [f"{name} ({how})" for name, how in subject.snapshot.moved() if not subject.policy.may_move(name)]
    return f" What calls leave behind: {some(moved, 4)}; see the check hidden_state." if moved else ""


def only_later(subject: Subject, args: Any, kwargs: Any, size: int) -> str:
    """In words, that a refused size is taken by the model as it was before any other was asked; empty where it is not.

    Such a refusal is no matter of sizes: something of an earlier batch was kept.
    """
    subject.snapshot.restore()
    try:
        subject.forward(args, kwargs, seed=subject.bench.recipe.seed)
    except Cancelled:
        raise
    except Exception:  # noqa: BLE001 (the user's forward; whether it takes this size is the question)
        return ""
    words = f"A batch of {size} is taken at first, and refused after a batch of another size."
    return f"{words}{left_behind(subject)}"


def anew(subject: Subject, calls: Sequence[Any], seed: int) -> tuple[list[Answer], str]:
    """The answer to each (args, kwargs), from the model as it was before the check; and what draws unlike numbers.

    Every call begins with the generators at `seed`. The second is in words, empty where all calls leave the generators
    at one place: a forward that draws as many numbers as its values ask for gives each row others.
    """
    answers, states = [], []
    for args, kwargs in calls:
        subject.snapshot.restore()
        with generators_kept(seed):
            answers.append(subject.answer(args, kwargs))
            states.append(Generators.take())
    moved = dict.fromkeys(name for state in states[1:] for name in states[0].moved(state))
    if not moved:
        return answers, ""
    return answers, f"The forward draws as many random numbers ({some(list(moved))}) as its values ask for"


def kept_words(left: str) -> str:
    """Why a difference that does not show anew is no matter of rows or sizes; `left`: what calls had left behind."""
    return f"Asked from the beginning they agree, so it comes from earlier calls.{left}"
