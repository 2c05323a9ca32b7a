"""Owns the table of checks, and that each of them ends in a row: one question, one answer, nothing changed.

What a check asks is in checks_*.py. A check runs the model under the bench's own modes.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from workbench.protocol.artifacts import BASELINE, LATENCY, CheckRow
from workbench.protocol.failures import WorkbenchError, error
from workbench.protocol.messages import Check
from workbench.protocol.outside import METRIC_ID
from workbench.worker.bench.words import counted, some
from workbench.worker.job import Cancelled, Job
from workbench.worker.judge.checks_baseline import check_baseline, check_metric
from workbench.worker.judge.checks_batch import check_batch_rows
from workbench.worker.judge.checks_finite import check_finite, check_parameters_finite
from workbench.worker.judge.checks_inputs import check_inputs_untouched
from workbench.worker.judge.checks_latency import check_latency
from workbench.worker.judge.checks_memory import check_graph_free, check_memory_flat
from workbench.worker.judge.checks_modes import check_modes
from workbench.worker.judge.checks_placement import check_dtype_device
from workbench.worker.judge.checks_reload import check_reload
from workbench.worker.judge.checks_repeat import HIDDEN_REMEDY, check_hidden_state, check_repeatable
from workbench.worker.judge.checks_run import Subject
from workbench.worker.judge.checks_sizes import check_batch_sizes
from workbench.worker.judge.checks_state import check_buffers, check_randomness
from workbench.worker.judge.checks_threads import check_threads
from workbench.worker.judge.checks_time import TooLong
from workbench.worker.judge.snapshot import untouched

if TYPE_CHECKING:
    from workbench.worker.bench.bench import Bench
    from workbench.worker.judge.run import Runs

CHECKS: dict[str, Callable[[Subject], CheckRow]] = {
    "modes": check_modes,
    "repeatable": check_repeatable,
    "randomness": check_randomness,
    "buffers": check_buffers,
    "hidden_state": check_hidden_state,
    "inputs_untouched": check_inputs_untouched,
    "finite": check_finite,
    "parameters_finite": check_parameters_finite,
    "batch_rows": check_batch_rows,
    "batch_sizes": check_batch_sizes,
    "dtype_device": check_dtype_device,
    "graph_free": check_graph_free,
    "memory_flat": check_memory_flat,
    "threads": check_threads,
    "reload": check_reload,
    LATENCY: check_latency,
    BASELINE: check_baseline,
}
"""Every check by its id."""


def check(bench: Bench, runs: Runs, request: Check, job: Job) -> CheckRow:
    """Answer one question about the model on the bench; model, inputs and generators are as before afterwards.

    What the user's code raises becomes a row of status "error". Raises `WorkbenchError("usage")` for an id that does
    not exist, and `Cancelled`.
    """
    function = check_metric if request.id.startswith(METRIC_ID) else CHECKS.get(request.id)
    if function is None or (function in (check_metric, check_baseline) and request.against is None):
        raise error("usage", f"There is no check {request.id!r}.", "--only", f"Checks are {', '.join(CHECKS)}.")
    started = time.monotonic()
    with untouched(bench) as snapshot:
        subject = Subject(
            request.id, bench, runs.yardstick, job, request.budget, snapshot, request.policy, request.against
        )
        try:
            row = function(subject)
        except (Cancelled, KeyboardInterrupt):
            raise
        except TooLong as problem:
            row = subject.slow(problem.forwards)
        except Exception as problem:  # noqa: BLE001 (the forward is the user's code)
            row = _error(subject, problem)
        except SystemExit as problem:  # a forward may call sys.exit
            row = _error(subject, problem)
    if snapshot.lost and row.status == "pass":
        words = f"{row.evidence} But the forward changed {', '.join(snapshot.lost[:4])}, too large to be put back."
        row = dataclasses.replace(row, status="error", evidence=words, remedy="Put it back to the checkpoint: restore.")
    if subject.excused:
        row = dataclasses.replace(row, evidence=f"{row.evidence} (declared: {'; '.join(subject.excused)})")
    return dataclasses.replace(row, seconds=time.monotonic() - started, findings=tuple(subject.findings))


def _error(subject: Subject, problem: BaseException) -> CheckRow:
    """The row of a check in which the forward raised; where it does so only after it has answered, that is said."""
    row = _explained(subject, problem)
    if not subject.answered or isinstance(problem, WorkbenchError):
        return row
    moved = [(name, how) for name, how in subject.snapshot.moved() if not subject.policy.may_move(name)]
    runs = counted(subject.answered, "run")
    subject.snapshot.restore()
    try:
        subject.forward()
    except (Cancelled, KeyboardInterrupt):
        raise
    except BaseException:  # noqa: BLE001 (it raises from the beginning: what is known is said already)
        return row
    if subject.id != "repeatable":
        return dataclasses.replace(row, evidence=f"It answers, and raises when it is called again: {row.evidence}")
    left = some([f"{name} ({how})" for name, how in moved], 4)
    cause = f"What runs leave behind: {left}." if left else "What runs leave behind is not held by its modules."
    at = f" It raises at {row.cause}." if row.cause else ""
    evidence = f"It answers {runs}, and raises in the next, with the same input: {row.evidence}"
    return subject.failed(evidence, f"{cause}{at}", HIDDEN_REMEDY)


def _explained(subject: Subject, problem: BaseException) -> CheckRow:
    if isinstance(problem, WorkbenchError):
        failure = problem.failure
    else:
        from workbench.worker.bench.diagnosis import explain

        failure = explain(problem, subject.bench.model)
    return CheckRow(subject.id, "error", failure.message, failure.where, failure.remedy)
