"""`workbench matrix`: the model under every mode, and which of them to serve with. It judges nothing: never code 1."""

from __future__ import annotations

import asyncio
import dataclasses
from typing import Any

import click
from rich.table import Table
from rich.text import Text

from workbench.client.measures import MATRIX_BUDGET, measure_matrix
from workbench.client.session import Session
from workbench.protocol.exits import Exit
from workbench.protocol.failures import error
from workbench.protocol.matrix import MEASURED, Matrix, MatrixCell
from workbench.protocol.messages import Loaded
from workbench.protocol.runs import BEYOND, IDENTICAL, NOISE
from workbench.protocol.text import clean_line
from workbench.report import matrix as words
from workbench.report.numbers import size

from .engine import converse
from .options import model_options, parse_model
from .run import open_model
from .tables import WIDE, console, show_model
from .talk import ProgressLine, print_json

_HOLDS = (IDENTICAL, NOISE)
_STYLES = {IDENTICAL: "green", NOISE: "cyan", BEYOND: "bold red"}


@click.command()
@click.argument("model")
@model_options
@click.option("--dtypes", metavar="DTYPE,…", default="", help="Also cast to these: bfloat16,float16,float64.")
@click.option(
    "--compile/--no-compile", "compile_too", default=True, show_default=True, help="Also under torch.compile."
)
@click.option("--rounds", type=click.IntRange(0, 10_000), default=0, help="Shuffled rounds of timing; 0: some seconds.")
def matrix(model: str, dtypes: str, compile_too: bool, rounds: int, **given: Any) -> int:
    """Run MODEL under train/eval × grad modes × dtypes × eager/compile, and say which of them to serve with.

    Everything is compared with eval · no_grad · eager in the model's own dtype. --timeout is the time for all of it
    (300 s by default, 0 for no limit); what does not fit says so.
    """
    options = parse_model(model, **given)
    if given["modes"] or given["grad"]:
        raise error("usage", "The matrix goes through every mode and grad mode by itself.", "--mode/--grad")
    options = dataclasses.replace(options, change=dataclasses.replace(options.change, training=False))
    budget = MATRIX_BUDGET if given["timeout"] is None else options.timeout
    casts = tuple(name.strip().removeprefix("torch.") for name in dtypes.split(",") if name.strip())

    async def work(session: Session, line: ProgressLine) -> int:
        loaded = await open_model(session, options)
        try:
            found = await measure_matrix(session, casts, compile_too, rounds, budget, options.timeout)
        except asyncio.CancelledError:
            known = session.state.matrix
            if known is not None:  # what was measured is kept, though nobody waits for the rest
                line.clear()
                _print(loaded, dataclasses.replace(known, ended="cancelled"), options.as_json)
            raise
        line.clear()
        _print(await session.hashed(loaded), found, options.as_json)
        return Exit.OK

    return converse(work, bench=True, python=options.python, quiet=options.as_json)


def _print(loaded: Loaded, found: Matrix, as_json: bool) -> None:
    if as_json:
        print_json(words.matrix_object(loaded, found))
        return
    out = console()
    show_model(out, loaded)
    wide = out.width >= WIDE
    shown = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("", "mode", "against the baseline", "median", "speed", "saved", "peak", *["changes"] * wide):
        shown.add_column(column, overflow="fold")
    for place, cell in enumerate(found.cells):
        shown.add_row(
            "→" if place == found.pick else "",
            words.cell_name(cell),
            Text(words.answer(cell, found.yardstick), _style(cell)),
            words.latency(cell),
            words.ratio(cell),
            size(cell.saved_bytes) if cell.status == MEASURED else "",
            words.peak(cell),
            *((words.changes(cell),) if wide else ()),
        )
    out.print(shown)
    for text in _reasons(found):
        out.print(clean_line(text), style="dim")
    if found.baseline:
        out.print(found.baseline, style="yellow")
    out.print(words.conditions(found), style="dim")
    if found.busy:
        out.print(found.busy, style="yellow")
    out.print()
    out.print(Text("serve with: ", "bold").append(found.words or "nothing can be recommended", "bold green"))


def _style(cell: MatrixCell) -> str:
    return _STYLES.get(cell.mark, "" if cell.status == MEASURED else "yellow")


def _reasons(found: Matrix) -> list[str]:
    """Why cells differ, raised or were left out; cells with the same reason together."""
    groups: dict[str, list[MatrixCell]] = {}
    for cell in found.cells:
        text = cell.reason or ("; ".join(filter(None, (cell.words, cell.cause))) if cell.mark not in _HOLDS else "")
        if text:
            groups.setdefault(text, []).append(cell)
    lines = []
    for text, cells in groups.items():
        more = f" and {len(cells) - 1} more" if len(cells) > 1 else ""
        lines.append(f"{words.cell_name(cells[0])}{more}: {text}")
    return lines
