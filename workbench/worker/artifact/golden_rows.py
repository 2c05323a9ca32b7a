"""How many rows golden cases may have: what was declared, what the artifact serves of it, what eager takes."""

from __future__ import annotations

from workbench.worker.artifact.subject import Subject, eager_accepts
from workbench.worker.judge.plan import batch_limits


def rows_served(
    subject: Subject, batch_range: tuple[int, int | None] | None, foreign: bool
) -> tuple[int, int | None, str]:
    """(smallest, largest or None, why it is not free) number of rows that cases may have.

    What somebody declared is asked of a `foreign` artifact, whatever its own header says: torch writes a range there
    that it does not always check.
    """
    batch, declared = subject.batch, subject.example.batch_range
    if batch and batch_range is not None and not (foreign and declared is not None):
        low, high = batch_range
        if declared is not None:
            low, high = max(low, declared[0]), declared[1] if high is None else min(high, declared[1])
        if high is not None and high <= low:
            return low, high, f"the artifact serves {high} rows only"
        return max(low, 1), high, ""
    return batch_limits(batch, declared, lambda rows: eager_accepts(subject, rows))


def rows_lost(subject: Subject, batch_range: tuple[int, int | None] | None) -> list[int]:
    """The declared numbers of rows, smallest and largest, where eager serves an end that the artifact does not.

    Empty where nothing declared was lost. The artifact itself is not asked: compiled code reads beyond its input.
    """
    declared = subject.example.batch_range
    if not subject.batch or declared is None or batch_range is None:
        return []
    low, high = batch_range
    beyond = [rows for rows in declared if rows < low or (high is not None and rows > high)]
    return list(declared) if any(not eager_accepts(subject, rows) for rows in beyond) else []
