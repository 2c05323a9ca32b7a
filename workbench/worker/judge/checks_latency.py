"""Owns what is said about time: the median, the tail and the first call; a vote only against a declared budget."""

from __future__ import annotations

import time

from workbench.protocol.artifacts import CheckRow
from workbench.worker.bench.words import counted
from workbench.worker.judge.checks_run import Subject
from workbench.worker.judge.checks_time import CALLS
from workbench.worker.judge.latency import quantile

RUNS = 200
"""Timed forwards."""
SECONDS = 5.0
"""Seconds that they may take, where that is enough for `LEAST`."""
LEAST = 20
"""Timed forwards below which the tail is the largest of them, and no percentile."""
WARM_UP = 3
TAIL = 2.0
"""Times the median from which p99 is worth a remedy."""


def check_latency(subject: Subject) -> CheckRow:
    """How long a forward takes: median, p99, and the first call of the process. Votes against a budget alone."""
    known = subject.bench.model in CALLS
    subject.forward()
    first = CALLS[subject.bench.model].first
    for _ in range(WARM_UP - 1):
        if subject.last < 1.0:
            subject.forward()
    subject.need(1, of=2)
    times: list[int] = []
    began = time.monotonic()
    for _ in subject.times(RUNS, least=1):
        subject.forward()
        times.append(round(subject.last * 1e9))
        if time.monotonic() - began > SECONDS and len(times) >= LEAST:
            break
    ordered = sorted(times)
    median = quantile(ordered, 0.5) / 1e6
    tail, name = (quantile(ordered, 0.99) / 1e6, "p99") if len(times) >= LEAST else (ordered[-1] / 1e6, "longest")
    said = "the first call of these checks" if known else "the first call"
    words = (
        f"median {median:.3g} ms, {name} {tail:.3g} ms ({tail / median:.1f}× the median) over "
        f"{counted(len(times), 'run')}; {said} {first * 1e3:.3g} ms ({first * 1e3 / median:.0f}×)"
    )
    remedy = "Fix the threads (--threads 1) and look again: a tail is often other work." if tail > TAIL * median else ""
    budgets = subject.policy.budgets
    if not budgets.latency:
        subject.found("latency", words[0].upper() + words[1:] + ".", remedy)
        return CheckRow(subject.id, "", "Measured; no budget was declared.")
    limits = (
        ("latency_median_ms", budgets.latency_median_ms, median),
        ("latency_p99_ms", budgets.latency_p99_ms, tail),
        ("latency_first_ms", budgets.latency_first_ms, first * 1e3),
    )
    subject.excuse(", ".join(f"{name} = {limit:g}" for name, limit, _ in limits if limit))
    over = [f"{name}: {value:.3g} ms" for name, limit, value in limits if limit and value > limit]
    evidence = words[0].upper() + words[1:] + "."
    if not over:
        return subject.passed(evidence)
    return subject.failed(evidence, f"Over budget: {'; '.join(over)}.", remedy or "Make it faster, or declare more.")
