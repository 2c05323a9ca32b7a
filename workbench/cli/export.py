"""`workbench export`: an artifact in a bundle, proven in a clean process before it is published."""

from __future__ import annotations

import dataclasses
import os
from typing import Any

import click

from workbench.client.exports import Ended, each_kind, kinds_of, run_exports
from workbench.client.flows import remember_made
from workbench.client.session import Session
from workbench.client.trust import TrustStore
from workbench.protocol.artifacts import KINDS, ExportResult
from workbench.protocol.failures import WorkbenchError, error
from workbench.protocol.messages import Export
from workbench.report.objects import export_object, exports_object, failure_object

from .engine import converse
from .invoke import given_on_command_line
from .made import show_made
from .options import ModelOptions, existing, model_options, parse_model, search_option
from .tables import console, show_proof
from .talk import ProgressLine, fail, print_json, say


@click.command()
@click.argument("model")
@model_options
@click.option(
    "--to",
    "asked",
    multiple=True,
    required=True,
    metavar="KIND[,KIND…]",
    help=f"Kinds of artifact, of {', '.join(KINDS)}; several make one bundle each, in DIR/KIND.",
)
@click.option(
    "--out", metavar="DIR", required=True, help="The bundle, or the directory of several; must not exist yet."
)
@search_option
@click.option("--force", is_flag=True, help="Allow --mode train.")
def export(model: str, asked: tuple[str, ...], out: str, force: bool, search: float, **given: Any) -> int:
    """Export MODEL as a bundle that proves itself.

    A model that fails its proof is published as DIR.failed only, and the exit code is 1. Of several kinds each is
    tried, and the exit code is that of the worst.
    """
    kinds = kinds_of(asked)
    options = parse_model(model, **given)
    if options.modules:
        raise error("usage", "An export is of the whole model in one mode; --mode PATH=… is not for it.", "--mode")
    if options.change.grad not in (None, "no_grad"):
        raise error("usage", "Exports work under no_grad; --grad is not for them.", "--grad")
    if given_on_command_line("rng"):
        raise error("usage", "A proof seeds every case by itself; --rng is not for it.", "--rng")
    if os.path.lexists(out):
        raise error("exists", f"{out} is there already.", "--out", "Choose another --out, or move it away.")
    requests = each_kind(_request(options, kinds[0], out, force, search), kinds)

    async def work(session: Session, line: ProgressLine) -> int:
        async def one(request: Export) -> ExportResult:
            line.about(f"{request.kind}: " if len(requests) > 1 else "")
            return await session.export(request)

        def show(ended: Ended) -> None:
            line.clear()
            if ended.result is None and len(requests) == 1:
                return  # said by whoever catches it
            if not options.as_json:
                _print(ended, len(requests) > 1)
            if ended.result is not None and (note := remember_made(ended.result, TrustStore())):
                say(f"note: {note}")

        ended, code = await run_exports(requests, one, show)
        if len(ended) == 1 and ended[0].failure is not None:
            raise WorkbenchError(ended[0].failure)
        if options.as_json:
            objects = {one.kind: _object(one) for one in ended}
            print_json(objects[kinds[0]] if len(ended) == 1 else exports_object(objects))
        elif len(ended) > 1:
            console().print(f"{sum(one.published for one in ended)} of {len(ended)} published in {out}")
        return code

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


def _object(ended: Ended) -> dict[str, Any]:
    if ended.result is not None:
        return export_object(ended.result)
    assert ended.failure is not None
    return failure_object(ended.failure)


def _print(ended: Ended, several: bool) -> None:
    """What one export came to; `several`: under its kind."""
    out = console()
    if several:
        out.print(f"── {ended.kind}", style="bold")
    if ended.failure is not None:
        fail(dataclasses.replace(ended.failure, details=""), False, True)
    result = ended.result
    if result is None:
        return
    show_made(out, result.made)
    show_proof(out, result.proof, result.made.findings)
    words = "published" if result.published else "not published; kept for looking at"
    out.print(f"{words}: {result.path}")
    if result.published:
        out.print(f"manifest sha256:{result.manifest_sha256}")
        out.print(f"prove it again: workbench verify {result.path}   or, with torch alone: python verify.py inside it")
