"""`workbench inspect`: what a file holds, or in what two differ, without running any of their code."""

from __future__ import annotations

import click

from workbench.client.session import Session
from workbench.protocol.exits import Exit
from workbench.protocol.failures import error
from workbench.protocol.inspected import InspectedPair, InspectPair
from workbench.report.objects import inspect_object, inspect_pair_object

from .engine import converse
from .inspected import show_inspection, show_pair
from .options import existing
from .tables import console
from .talk import ProgressLine, print_json


@click.command()
@click.argument("file")
@click.argument("other", required=False, default="")
@click.option("--values", is_flag=True, help="Of two files, compare the tensors' values as well.")
@click.option("--flat", is_flag=True, help="Every tensor on a line under its whole name, not as a tree.")
@click.option("--timeout", metavar="SECONDS", type=click.FloatRange(0), default=60.0, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def inspect(file: str, other: str, values: bool, flat: bool, timeout: float, as_json: bool) -> int:
    """Show what FILE holds, or in what FILE and OTHER differ: names, shapes, dtypes, sharing.

    FILE may be a directory. None of its code is run; tensors are read only for --values.
    """
    if values and not other:
        raise error("usage", "--values compares two files.", "--values", f"workbench inspect {file} OTHER --values")

    async def work(session: Session, line: ProgressLine) -> int:
        if other:
            pair: InspectedPair = await session.request(InspectPair(existing(file), existing(other), values), timeout)
            line.clear()
            print_json(inspect_pair_object(pair)) if as_json else show_pair(console(), pair)
            return Exit.OK
        found = await session.inspect(existing(file), timeout)
        line.clear()
        print_json(inspect_object(found)) if as_json else show_inspection(console(), found, flat)
        return Exit.OK

    return converse(work, bench=False, quiet=as_json)
