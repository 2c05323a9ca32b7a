"""`workbench export`: an artifact in a bundle, proven in a clean process before it is published."""

from __future__ import annotations

import os
from typing import Any

import click

from workbench.client.flows import remember_made
from workbench.client.session import Session
from workbench.client.trust import TrustStore
from workbench.protocol.artifacts import KINDS, ExportResult
from workbench.protocol.exits import Exit
from workbench.protocol.failures import error
from workbench.protocol.messages import Export
from workbench.report.objects import export_object

from .engine import converse
from .invoke import given_on_command_line
from .made import show_made
from .options import ModelOptions, existing, model_options, parse_model, search_option
from .tables import console, show_proof
from .talk import ProgressLine, print_json, say


@click.command()
@click.argument("model")
@model_options
@click.option("--to", "kind", type=click.Choice(KINDS), required=True, help="Kind of artifact.")
@click.option("--out", metavar="DIR", required=True, help="The bundle; must not exist yet.")
@search_option
@click.option("--force", is_flag=True, help="Allow --mode train.")
def export(model: str, kind: str, out: str, force: bool, search: float, **given: Any) -> int:
    """Export MODEL as a bundle that proves itself.

    A model that fails its proof is published as DIR.failed only, and the exit code is 1.
    """
    options = parse_model(model, **given)
    if options.modules:
        raise error("usage", "An export is of the whole model in one mode; --mode PATH=… is not for it.", "--mode")
    if options.change.grad not in (None, "no_grad"):
        raise error("usage", "Exports work under no_grad; --grad is not for them.", "--grad")
    if given_on_command_line("rng"):
        raise error("usage", "A proof seeds every case by itself; --rng is not for it.", "--rng")
    if os.path.lexists(out):
        raise error("exists", f"{out} is there already.", "--out", "Choose another --out, or move it away.")
    request = _request(options, kind, out, force, search)

    async def work(session: Session, line: ProgressLine) -> int:
        result = await session.export(request)
        line.clear()
        _print(result, options.as_json)
        if note := remember_made(result, TrustStore()):
            say(f"note: {note}")
        return exit_of(result.proof.verdict)

    return converse(work, bench=False, quiet=options.as_json)


def _request(options: ModelOptions, kind: str, out: str, force: bool, search: float) -> Export:
    change = options.change
    return Export(
        recipe=options.recipe,
        kind=kind,
        out=existing(out),
        training=bool(change.training),
        force=force,
        device=change.device or "cpu",
        dtype=change.dtype or "",
        threads=change.threads or 0,
        python=options.python,
        tolerance=options.tolerance,
        search=search,
        timeout=options.timeout,
    )


def _print(result: ExportResult, as_json: bool) -> None:
    if as_json:
        print_json(export_object(result))
        return
    out = console()
    show_made(out, result.made)
    show_proof(out, result.proof, result.made.findings)
    words = "published" if result.published else "not published; kept for looking at"
    out.print(f"{words}: {result.path}")
    if result.published:
        out.print(f"prove it again: workbench verify {result.path}   or, with torch alone: python verify.py inside it")


def exit_of(verdict: str) -> Exit:
    """The code of a proof's verdict: what could not be proven would not load or run."""
    return {"pass": Exit.OK, "fail": Exit.VERDICT_NO, "error": Exit.LOAD}[verdict]
