"""Owns what is asked of runs that agreed: was it luck? Memory that nobody wrote, and another number of threads."""

from __future__ import annotations

import torch

from workbench.protocol.artifacts import CheckRow
from workbench.protocol.runs import BEYOND, IDENTICAL
from workbench.worker.bench.words import counted
from workbench.worker.judge.checks_cause import cause_of
from workbench.worker.judge.checks_run import Subject
from workbench.worker.judge.digest import digest
from workbench.worker.judge.evidence import short
from workbench.worker.judge.leaves import flatten
from workbench.worker.judge.taken import Answer
from workbench.worker.judge.unwritten import Site, unwritten

THREADS_REMEDY = "Let no number of threads into the computation; until then pin it: --threads."


def by_luck(subject: Subject, agreed: str) -> CheckRow | None:
    """The row of a model whose runs agreed, as `agreed` says, and need not have; None where they had to."""
    if not subject.room_for(12):
        return None
    if site := unwritten_site(subject):
        evidence = f"{agreed} That is luck: the answer is another when memory that nobody wrote holds something else."
        return subject.failed(evidence, *unwritten_words(site))
    return _other_threads(subject)


def unwritten_site(subject: Subject) -> Site | None:
    """Where the model asks for memory whose contents, whatever they are, come out of it."""

    def forward() -> bytes:
        subject.snapshot.restore()
        return digest(flatten(subject.forward(seed=subject.bench.recipe.seed)))

    return unwritten(forward)


def unwritten_words(site: Site) -> tuple[str, str]:
    """(cause, remedy)."""
    place = f" at {short(site.where)}" if site.where else ""
    return (
        f"Uninitialised memory: part of what {site.words} gives comes out unwritten.",
        f"Make it with torch.zeros{place}, or write all of it.",
    )


def _other_threads(subject: Subject) -> CheckRow | None:
    """The row of a model that answers otherwise, beyond the noise, with another number of torch's own threads.

    Within the noise, or in whole numbers alone, it is told: sums are added up in another order, and ties fall.
    """
    usual = torch.get_num_threads()
    other = 2 if usual == 1 else 1
    first = _with_threads(subject, usual)
    found = subject.compared(first, _with_threads(subject, other))
    if found.nothing or found.mark == IDENTICAL:
        return None
    evidence = f"With {counted(other, 'thread')} the answer is another than with {usual}: {found.words}."
    whole = all(
        leaf.mark != BEYOND or not leaf.dtype.startswith(("float", "bfloat", "complex")) for leaf in found.leaves
    )
    if not found.differs or (whole and not found.structure):
        subject.found("thread_count", evidence, "Where bits matter, pin it: --threads.")
        return None
    asked = (subject.args, subject.kwargs)
    cause, remedy = cause_of(subject, (asked, asked), seeded=True, warm=0, threads=(usual, other))
    return subject.failed(evidence, cause, remedy or THREADS_REMEDY)


def _with_threads(subject: Subject, count: int) -> Answer:
    subject.snapshot.restore()
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        return subject.answer(seed=subject.bench.recipe.seed)
    finally:
        torch.set_num_threads(before)
