"""Owns the question whether what moves with every run has an effect that is seldom: a counter that acts at every 50th.

Runs are asked on, and whole numbers that count up are put forward to where more runs would bring them.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from workbench.worker.bench.words import some
from workbench.worker.job import Cancelled
from workbench.worker.judge.checks_cause import cause_of
from workbench.worker.judge.checks_run import Subject
from workbench.worker.judge.held import Snapshot
from workbench.worker.judge.taken import Answer

RUNS = 200
"""Runs that are asked while something moves, where time allows."""
SHARE = 0.2
"""Of the budget, after which no more are begun; half as much again may go into counters that are put forward."""
AHEAD = (*(2**power for power in range(7, 14)), 1_000, 10_000, 5_040)
"""Numbers that a counter is put forward to: round ones, and one that many periods divide."""
TRIED = 6
"""Names that are put back one by one."""

Named = tuple[str, str]


@dataclass(frozen=True)
class Seldom:
    """What came of it."""

    runs: int
    """Runs of the same input in a row."""
    evidence: str = ""
    """Empty: no run differed."""
    cause: str = ""
    ahead: bool = False
    """Counters were put forward, too."""


def seldom(subject: Subject, given: Any, moved: Iterable[Named], ask: Callable[[], Answer]) -> Seldom:
    """Ask the same again and again from the beginning, while what has the names of `moved` goes on moving.

    `ask` answers `given`, each time from the same seed.
    """
    subject.snapshot.restore()
    first, runs = ask(), 1
    while runs < RUNS and subject.spent < SHARE:
        found = subject.compared(first, ask())
        runs += 1
        if found.differs:
            names = _guilty(subject, moved, runs, first, ask)
            evidence = f"Run {runs} of the same input differs from those before it: {found.words}.{found.left_out}"
            return Seldom(runs, evidence, _cause(subject, given, names, runs))
    counters = _counters(subject, moved, ask)
    for name, put in counters:
        for value in AHEAD:
            if value <= runs or subject.spent > 1.5 * SHARE:
                continue
            put(value - 1)
            try:
                answer = ask()
            except Cancelled:
                raise
            except Exception:  # noqa: BLE001 (a value that the model may never reach: no matter of this check)
                break
            found = subject.compared(first, answer)
            if found.differs:
                evidence = f"With {name} at {value}, as after so many runs, the same input differs: {found.words}."
                return Seldom(runs, evidence, f"{name} counts on with every run, and the answer depends on it.", True)
    return Seldom(runs, ahead=bool(counters))


def counted_words(moved: Iterable[Named]) -> str:
    """ "calls (1 → 8)", of what moved, the first four."""
    return some([f"{name} ({how})" for name, how in moved], 4)


def _guilty(subject: Subject, moved: Iterable[Named], runs: int, first: Answer, ask: Callable[[], Answer]) -> list[str]:
    """Names that, put back alone to what they were at the beginning, make run `runs` answer as the first did."""
    subject.snapshot.restore()
    for _ in range(runs - 1):
        ask()
    before = Snapshot(subject.bench.model, (), {})
    found = []
    for name, _ in list(moved)[:TRIED]:
        before.restore()
        subject.snapshot.put_back(lambda one, name=name: one == name)  # type: ignore[misc]
        if not subject.compared(first, ask()).differs:
            found.append(name)
    return found


def _cause(subject: Subject, given: Any, names: list[str], runs: int) -> str:
    cause, _ = cause_of(subject, (given, given), seeded=True, warm=runs - 2)
    if not names:
        return cause
    return f"{some(names, 4)} moves on with every run, and put back makes it answer as before. {cause}".rstrip()


def _counters(
    subject: Subject, moved: Iterable[Named], ask: Callable[[], Answer]
) -> list[tuple[str, Callable[[int], None]]]:
    """(name, setter) of the whole numbers on modules that go up by one with each of two more runs."""
    found = []
    for name, _ in list(moved)[:TRIED]:
        place = _place(subject, name)
        if place is None:
            continue
        read, put = place
        values = [read()]
        for _ in range(2):
            ask()
            values.append(read())
        if all(later is not None and later == one + 1 for one, later in itertools.pairwise(values)):
            found.append((name, put))
    return found


def _place(subject: Subject, name: str) -> tuple[Callable[[], Any], Callable[[int], None]] | None:
    """How a number on a module is read (None: it is none) and set; None where the name leads nowhere."""
    owner, _, key = name.rpartition(".")
    module = dict(subject.bench.model.named_modules()).get(owner)
    if module is None or not hasattr(module, key):
        return None

    def read() -> Any:
        value = getattr(module, key, None)
        if getattr(value, "numel", lambda: 0)() == 1:
            value = value.item()  # type: ignore[union-attr]
        return value if isinstance(value, (int, float)) and not isinstance(value, bool) else None

    def put(value: int) -> None:
        held = getattr(module, key)
        if hasattr(held, "fill_"):
            held.fill_(value)
        else:
            setattr(module, key, type(held)(value))

    return (read, put) if read() is not None else None
