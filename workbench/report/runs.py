"""What is worth saying of one run beside its row in a table. Pure: a record in, words out."""

from __future__ import annotations

from workbench.protocol.runs import RunRow

from .numbers import doubtful, duration, size


def run_words(row: RunRow) -> str:
    """Percentiles and spread of a repeat, the device's memory, and the run's own note; empty when there is nothing."""
    parts = []
    latency = row.latency
    if row.count > 1:
        spread = latency.iqr / latency.median if latency.median else 0.0
        doubt = ", too wide to conclude from" if doubtful(latency) else ""
        parts += [f"p90 {duration(latency.p90)}", f"p99 {duration(latency.p99)}", f"spread {spread:.0%}{doubt}"]
    if row.cuda is not None:
        use = row.cuda
        parts.append(f"CUDA {size(use.allocated)} allocated, peak {size(use.peak)}, {size(use.reserved)} reserved")
    if row.note:
        parts.append(row.note)
    return " · ".join(parts)
