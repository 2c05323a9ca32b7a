"""Which cases the golden data of a model has, and what a slow one is spared.

Makes no tensor of them.
"""

from __future__ import annotations

from workbench.protocol.artifacts import Finding
from workbench.protocol.failures import WorkbenchError
from workbench.worker.artifact.contract import contract_cases
from workbench.worker.artifact.subject import Subject, run_untouched
from workbench.worker.judge.case_inputs import real_seeds, samples_taken
from workbench.worker.judge.leaves import flatten_plain
from workbench.worker.judge.plan import CASES, Case, plan

SLOW = 0.5
"""Seconds a forward from which no more cases are made than the verdict needs."""

SLOW_MORE = 4
"""Cases of other dimensions and of NaN that even a slow model gets."""


def slow_forward(subject: Subject) -> float:
    """Seconds of one forward where that is more than `SLOW`, else 0: the first may have had to make things ready."""
    if subject.seconds <= SLOW:
        return 0.0
    try:
        seconds = min(subject.seconds, run_untouched(subject.model, subject.args, subject.kwargs)[1])
    except WorkbenchError:
        return subject.seconds  # that it raises the second time is said by `repeats`
    return seconds if seconds > SLOW else 0.0


def golden_cases(subject: Subject, low: int, high: int | None, slow: float) -> list[Case]:
    """The plan, with the bytes that one case of this model takes; less of it, and a word of that, for a slow one."""
    inputs = flatten_plain((subject.args, subject.kwargs)).leaves
    outputs = flatten_plain(subject.output).leaves
    total = sum(leaf.numel() * leaf.element_size() for _, leaf in inputs)
    total += sum(leaf.numel() * (leaf.element_size() + 8 * leaf.is_floating_point()) for _, leaf in outputs)
    rows = subject.batch or 0
    given = real_seeds(subject.example)
    cases = plan(subject.seed, rows, low, high, total // rows if rows else 0, 0 if rows else total, given)
    more = contract_cases(subject, low, high)
    if slow:
        whole = len(cases) + len(more)
        cases, more = cases[:CASES], more[:SLOW_MORE]
        words = f"one forward takes {slow:.2g} s: {len(cases) + len(more)} of {whole} cases are asked"
        remedy = "Fewer rows, or more --threads, make room for all."
        subject.findings.append(Finding("slow", f"{words}, and no other memory layout", remedy))
    if words := samples_taken(subject.example, cases):
        subject.findings.append(Finding("samples", f"Proven on {words}."))
    return [*cases, *more]
