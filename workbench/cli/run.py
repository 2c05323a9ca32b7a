"""`workbench run`: fire a model, print what changed and what it cost. Never a verdict, so never exit code 1."""

from __future__ import annotations

from typing import Any

import click

from workbench.client import causes
from workbench.client.flows import noise_would_help, open_with
from workbench.client.measures import account_memory, measure_counterfactual
from workbench.client.session import Session
from workbench.protocol.cause import ErrorTable
from workbench.protocol.exits import Exit
from workbench.protocol.failures import WorkbenchError
from workbench.protocol.memory import Counterfactual, MemoryAccount
from workbench.protocol.messages import FindDivergence, GetDiff, Loaded
from workbench.protocol.model import ModeChange
from workbench.protocol.runs import BEYOND, IDENTICAL, Diff, Divergence
from workbench.report.memory import summary
from workbench.report.objects import run_object

from .account import show_account
from .engine import converse
from .options import ModelOptions, model_options, parse_model
from .tables import console, show_diff, show_divergence, show_errors, show_leak, show_model, show_runs
from .talk import ProgressLine, print_json, say

SLOW = 5.0
"""Seconds of a forward from which the errors of its modules are not measured unasked."""


@click.command()
@click.argument("model")
@model_options
@click.option("--repeat", type=click.IntRange(1), default=10, show_default=True, help="How many forwards.")
@click.option("--keep-outputs", is_flag=True, help="Keep every output alive, as a loop does that sums losses.")
def run(model: str, repeat: int, keep_outputs: bool, **given: Any) -> int:
    """Fire MODEL and print what changed from run to run and what it cost.

    The first forward is the reference that the others are compared with.
    """
    options = parse_model(model, **given)

    async def work(session: Session, line: ProgressLine) -> int:
        loaded = await open_model(session, options, keep_outputs)
        await _fire(session, options, repeat)
        diff: Diff | None = await session.request(GetDiff(2), options.timeout) if repeat > 1 else None
        divergence, errors = None, None
        if diff is not None and diff.mark == BEYOND:
            divergence = await session.request(FindDivergence(2), options.timeout)
            errors = await _errors(session, options)
        known = await _memory(session, options)
        line.clear()
        _print(session, options, await session.hashed(loaded), diff, divergence, errors, known)
        return Exit.OK

    return converse(work, bench=True, python=options.python, quiet=options.as_json)


async def open_model(session: Session, options: ModelOptions, keep_outputs: bool = False) -> Loaded:
    """Put the model of the options on the bench, in the modes they ask for."""
    await session.started()
    changes = (*options.modules, ModeChange(keep_outputs=True)) if keep_outputs else options.modules
    return await open_with(session, options.recipe, options.change, changes, options.tolerance, options.timeout)


async def _fire(session: Session, options: ModelOptions, repeat: int) -> None:
    await session.fire(1, timeout=options.timeout)
    if repeat == 1:
        return
    row = await session.fire(repeat - 1, timeout=options.timeout)
    if noise_would_help(session, row):
        try:
            await session.measure_noise(options.timeout)
        except WorkbenchError as problem:
            if problem.failure.kind in ("cancelled", "internal"):
                raise
            say(f"note: eager's own noise could not be measured: {problem.failure.message}")


async def _errors(session: Session, options: ModelOptions) -> ErrorTable | None:
    """The error of every module call of run 2; None for a model so slow that it would take minutes, or too strange."""
    if min(row.latency.minimum for row in session.state.rows.values()) > SLOW:
        say("note: the error of every module is not measured of so slow a model")
        return None
    try:
        return await causes.errors(session, 2, timeout=options.timeout)
    except WorkbenchError as problem:
        if problem.failure.kind not in ("usage", "memory"):
            raise
        say(f"note: the error of every module could not be measured: {problem.failure.message}")
        return None


async def _memory(session: Session, options: ModelOptions) -> tuple[MemoryAccount | None, Counterfactual | None]:
    """What memory is used for, and where it climbs the same runs under the other grad mode."""
    account, other = None, None
    try:
        account = await account_memory(session, timeout=options.timeout)
        if session.state.leak is not None and session.state.leak.climbing:
            other = await measure_counterfactual(session, timeout=options.timeout)
    except WorkbenchError as problem:
        if problem.failure.kind in ("cancelled", "internal"):
            raise
        say(f"note: memory could not be explained: {problem.failure.message}")
    return account, other


def _print(
    session: Session,
    options: ModelOptions,
    loaded: Loaded,
    diff: Diff | None,
    divergence: Divergence | None,
    errors: ErrorTable | None,
    known: tuple[MemoryAccount | None, Counterfactual | None],
) -> None:
    rows = [session.state.rows[number] for number in sorted(session.state.rows)]
    if options.as_json:
        print_json(run_object(loaded, rows, diff, divergence, session.state.leak, errors, *known))
        return
    out = console()
    show_model(out, loaded)
    show_runs(out, rows)
    if diff is not None and diff.mark != IDENTICAL:
        out.print()
        show_diff(out, diff)
    if divergence is not None:
        show_divergence(out, divergence)
    if errors is not None:
        show_errors(out, errors)
    leak = session.state.leak
    if leak is not None:
        show_leak(out, leak)
    if known[0] is not None and leak is not None and leak.climbing:
        out.print()
        show_account(out, known[0], leak, known[1])
    elif known[0] is not None:
        out.print(f"memory: {summary(known[0])}", style="dim")
