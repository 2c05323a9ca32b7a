"""Things that take several requests and are the same for every face."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from workbench.protocol.artifacts import OUT_OF_TIME, CheckRow, ExportResult, Fingerprint
from workbench.protocol.exits import Exit, exit_for, worst
from workbench.protocol.failures import Failure, WorkbenchError, error
from workbench.protocol.messages import Check, CheckPolicy, Loaded
from workbench.protocol.model import ModeChange, Recipe
from workbench.protocol.outside import Baseline
from workbench.protocol.policy import Policy
from workbench.protocol.runs import IDENTICAL, INCOMPARABLE, RunRow, Yardstick

from .policy import unknown_name
from .session import Session
from .trust import TrustStore, allowed, refusal

PLAIN_DIFFERENCE = 1e4
"""A difference this many times the noise by torch.testing's tolerance needs no finer yardstick."""

CHECK_BUDGET = 60.0
"""Seconds that a check tries to stay within when no limit was given."""

NOISE_BUDGET = 20.0
"""Seconds that measuring eager's noise may take before the checks begin."""

RECOVERY_SECONDS = 300.0
"""Seconds that loading the model again may take after a check took the worker down, when no limit was given."""

_LATE = 2
"""So many checks in a row that do not end in time show that the next would not either."""
_NO_FORWARD = {"parameters_finite"}
"""Checks that run no forward: they answer however long one takes."""

_BY_YARDSTICK = {"repeatable", "hidden_state", "batch_rows", "batch_sizes", "threads", "reload"}

NOTHING_DECLARED = Policy()

_MORE_TIME = "Give each check more time: --timeout."

_GONE = Failure("engine", "Not asked: the worker is gone.", remedy="Press K for a fresh one, then h.")

_CODES = {"pass": Exit.OK, "skip": Exit.OK, "fail": Exit.VERDICT_NO, "error": Exit.LOAD}


async def open_with(
    session: Session,
    recipe: Recipe,
    change: ModeChange,
    modules: Iterable[ModeChange] = (),
    tolerance: float = 0.0,
    timeout: float = 0.0,
) -> Loaded:
    """A model onto the bench as a command line asks for it: its modes, then those of single modules in their order,
    then the yardstick of --tolerance. Raises `WorkbenchError`."""
    loaded = await session.open(recipe, change, timeout)
    for one in modules:
        await session.change(one)
    if tolerance:
        await session.use(given_yardstick(tolerance))
    return Loaded(loaded.info, session.state.modes or loaded.modes, loaded.keep_runs)


async def run_checks(
    session: Session,
    ids: Iterable[str],
    timeout: float,
    show: Callable[[CheckRow], None],
    policy: Policy = NOTHING_DECLARED,
    recover: bool = True,
    against: Baseline | None = None,
) -> tuple[tuple[CheckRow, ...], Exit]:
    """Answer each check with at most `timeout` seconds for one (0: no limit); the rows, and the code to leave with.

    One that runs out of time, or takes the worker down with it, has status "error"; the rest go on in a fresh worker.
    After two in a row that ran out of time those that need a forward are not asked: the limit is not waited for again.
    Where there can be none, or without `recover`, they have status "error" too. Raises `WorkbenchError("usage")` for a
    policy that names inputs, outputs or states that the model has not.
    """
    ids = tuple(ids)
    rows, codes = [], []
    _require_inputs(session, policy)
    await _require_names(session, policy, timeout)
    lost: Failure | None = None
    unmeasured = session.state.yardstick == "tolerance"
    late: list[str] = []
    for name in ids:
        if len(late) >= _LATE and name not in _NO_FORWARD:
            row = _not_asked(name, late, timeout)
            show(row)
            rows.append(row)
            codes.append(exit_for("timeout"))
            continue
        if lost is None and session.state.engine in ("dead", "gone"):
            lost = await _recover(session, timeout) if recover else _GONE
        if unmeasured and lost is None and name in _BY_YARDSTICK:  # what needs no yardstick has answered before
            await _measure_first(session, timeout)
            unmeasured = False
        if lost is None:
            row, code, ended = await _check(session, Check(name, timeout or CHECK_BUDGET, policy, against), timeout)
            if name not in _NO_FORWARD:
                late = [] if ended else [*late, name]
        else:
            row, code = CheckRow(name, "error", lost.message, lost.where, lost.remedy), exit_for(lost.kind)
        show(row)
        rows.append(row)
        codes.append(code)
    return tuple(rows), worst(codes)


def _not_asked(name: str, late: list[str], timeout: float) -> CheckRow:
    """The row of a check that would wait out its limit as those named in `late` did."""
    limit = f"within {timeout:g} s" if timeout else "in time"
    words = f"Not asked: {' and '.join(late)} got no answer {limit}, for a forward takes too long or never ends."
    return CheckRow(name, "error", words, remedy=_MORE_TIME)


async def _check(session: Session, asked: Check, timeout: float) -> tuple[CheckRow, Exit, bool]:
    """The row, the code to leave with, and whether it ended in time."""
    began = time.monotonic()
    try:
        row: CheckRow = await session.request(asked, timeout)
    except WorkbenchError as problem:
        failure = problem.failure
        if failure.kind in ("cancelled", "internal"):
            raise
        seconds = time.monotonic() - began
        ended = failure.kind != "timeout"
        if not ended:
            words = f"No answer within {timeout:g} s: a forward takes too long for it, or never ends."
            failure = dataclasses.replace(failure, message=words, remedy=_MORE_TIME)
        row = CheckRow(asked.id, "error", failure.message, failure.where, failure.remedy, seconds)
        return row, exit_for(failure.kind), ended
    late = row.status == "error" and row.cause == OUT_OF_TIME
    return row, exit_for("timeout") if late else _CODES.get(row.status, Exit.OK), True


def _require_inputs(session: Session, policy: Policy) -> None:
    known = [one.name for one in session.state.info.inputs] if session.state.info is not None else []
    for name in policy.domain:
        if name not in known:
            raise unknown_name(name, known, "the input", policy.source)


async def _require_names(session: Session, policy: Policy, timeout: float) -> None:
    """Outputs and states are known once the model has run, which it does here."""
    if not policy.mutates and not policy.discrete:
        return
    try:
        await session.request(CheckPolicy(policy), timeout)
    except WorkbenchError as problem:
        if problem.failure.kind in ("usage", "cancelled", "internal"):
            raise  # and no other: a model that hangs or dies does so in the checks as well, which say it


async def _recover(session: Session, timeout: float) -> Failure | None:
    """A fresh worker with the same model; why there is none, when there is none."""
    try:
        await session.recover(timeout=timeout or RECOVERY_SECONDS)
    except WorkbenchError as problem:
        if problem.failure.kind == "cancelled":
            raise
        failure = problem.failure
        return dataclasses.replace(
            failure, message=f"Not asked, for the worker could not be replaced: {failure.message}"
        )
    return None


async def _measure_first(session: Session, timeout: float) -> None:
    """Eager's own noise, for the checks that compare; a model that cannot be measured is judged by tolerance."""
    budget = min(timeout or CHECK_BUDGET, NOISE_BUDGET)
    try:
        await session.measure_noise(timeout, budget)
    except WorkbenchError as problem:
        if problem.failure.kind in ("cancelled", "internal"):
            raise


async def authorize(
    session: Session, path: str, store: TrustStore, digests: Sequence[str] = (), allow_code: bool = False
) -> Fingerprint:
    """The fingerprint of what may be loaded. Raises `WorkbenchError("trust")` when it runs code and nobody said yes."""
    fingerprint = await session.fingerprint(path)
    if not allowed(fingerprint, store, digests, allow_code):
        raise refusal(fingerprint)
    return fingerprint


def remember_made(result: ExportResult, store: TrustStore) -> str:
    """Bundles written here are trusted here; what to say when that could not be noted, for it spoils no export."""
    if not result.published:
        return ""
    try:
        store.remember(Fingerprint(result.path, "bundle", result.manifest_sha256, "CODE (Python)"), "written here")
    except WorkbenchError as problem:
        return f"{problem.failure.message} Verifying {Path(result.path).name} will ask whether it is trusted."
    return ""


def noise_would_help(session: Session, row: RunRow) -> bool:
    """Whether eager's own measured error could change this row's mark, and was not asked for yet."""
    state = session.state
    return (
        state.yardstick == "tolerance"
        and state.noise_asked != state.epoch
        and row.mark not in ("", IDENTICAL, INCOMPARABLE)
        and 0 < row.max_abs < float("inf")
        and row.noise_multiple < PLAIN_DIFFERENCE
    )


def given_yardstick(tolerance: float) -> Yardstick:
    """The yardstick of --tolerance: largest |Δ| relative to the reference's RMS. Raises `WorkbenchError("usage")`."""
    if not 0 < tolerance < float("inf"):
        raise error("usage", f"--tolerance wants a number above 0, not {tolerance:g}.", "--tolerance")
    return Yardstick("given", tolerance=tolerance, reason="--tolerance")
