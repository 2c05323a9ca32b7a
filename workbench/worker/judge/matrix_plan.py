"""Which cells a mode matrix has and in which order, what they are judged with, and why one of them could not run."""

from __future__ import annotations

from collections.abc import Iterable

from workbench.protocol.failures import Failure, WorkbenchError
from workbench.protocol.matrix import CRASHED, MEASURED, RAISED, SKIPPED, Cell, MatrixCell
from workbench.protocol.runs import Yardstick
from workbench.worker.bench.failing import first_line
from workbench.worker.bench.load import Built
from workbench.worker.job import Job
from workbench.worker.judge import compiling, noise
from workbench.worker.judge.cells import Seen
from workbench.worker.judge.memory import give_back

NOISE_SECONDS = 20.0
"""Seconds that measuring eager's own noise may take."""


def plan(dtypes: Iterable[str], compile: bool) -> list[Cell]:
    """Every cell, in the order of work: what matters most to a person who serves comes first."""
    grads = ("no_grad", "inference_mode", "grad")
    return [
        Cell(training, grad, cast, compiled)
        for compiled in ((False, True) if compile else (False,))
        for cast in ("", *dtypes)
        for training in (False, True)
        for grad in grads
    ]


def kept(former: MatrixCell | None, planned: MatrixCell) -> MatrixCell:
    """What a worker before found out; the cell that it was working on is crashed by then, or waits again."""
    return former if former is not None and former.status in (MEASURED, RAISED, CRASHED, SKIPPED) else planned


def measured_noise(built: Built, seen: Seen, budget: float, job: Job) -> Yardstick:
    """Eager's own error, where it can be measured in a part of the budget; `seen` is the baseline's look."""
    share = min(NOISE_SECONDS, budget / 6 or NOISE_SECONDS)
    expected = 3 * noise.CASES * seen.seconds  # a float64 forward takes about twice as long
    if seen.varies:
        return Yardstick("tolerance", reason="the answers are random, so there is no noise to measure")
    if expected > 2 * share:
        return Yardstick("tolerance", reason=f"{noise.CASES} float64 runs would take about {expected:.0f} s")
    try:
        return noise.measure(built.model, built.example, job, budget=share)
    except WorkbenchError as problem:  # it runs under no_grad, which this model may not
        return Yardstick("tolerance", reason=problem.failure.message)
    finally:
        give_back()


def reason_of(cell: Cell, problem: BaseException, failure: Failure) -> dict[str, str]:
    """Why a cell raised, and what to do, as fields of `MatrixCell`."""
    if isinstance(problem, SystemExit):
        return {"reason": f"it asked Python to exit ({problem.code!r})"}
    if cell.compiled and failure.kind != "memory":
        return {"reason": f"torch.compile: {compiling.refusal(problem)}", "remedy": failure.remedy}
    if failure.kind not in ("memory", "device") and "raised" in failure.message:
        return {"reason": first_line(problem), "remedy": failure.remedy}
    return {"reason": failure.message, "remedy": failure.remedy}
