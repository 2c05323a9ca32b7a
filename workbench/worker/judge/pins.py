"""Pinned runs: their outputs and records are kept for comparison whatever comes after them.

Owns the rule of what may be pinned. The rows are `run.py`'s, the copies `store.py`'s.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from workbench.protocol.compare import Pin
from workbench.protocol.failures import error
from workbench.worker.job import Job
from workbench.worker.judge.leak import size
from workbench.worker.judge.store import TOTAL_BUDGET, gone

if TYPE_CHECKING:
    from workbench.worker.judge.run import Runs

PINNED = TOTAL_BUDGET // 2
"""Bytes of outputs that may be pinned together: the rest is for the runs to come."""


def pin(runs: Runs, request: Pin, job: Job) -> None:
    """Keep the run's output, or let it go its way again; emits the row.

    Raises `WorkbenchError("usage")` for a run whose output is not kept, and when the pinned ones would take too much.
    """
    row = runs.row(request.run)
    if request.pinned and row.number not in runs.store:
        if row.digest:
            words = (
                f"Run {row.number} cannot be pinned: its output of {size(row.output_bytes)} is too large to be kept."
            )
            raise error("usage", words, f"run {row.number}", "Pin a run with a smaller batch.")
        raise gone(row.number)
    held = sum(one.output_bytes for one in runs.rows.values() if one.pinned and one is not row)
    if request.pinned and held + row.output_bytes > PINNED:
        words = f"Pinned runs hold {size(held)} already, of {size(PINNED)}; this one needs {size(row.output_bytes)}."
        raise error("usage", words, f"run {row.number}", "Let another one go first, with p.")
    row.pinned = request.pinned
    runs.hold()
    job.emit(row.report())
