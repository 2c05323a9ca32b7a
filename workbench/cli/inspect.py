"""`workbench inspect`: what a file holds, without running any of its code."""

from __future__ import annotations

import click

from workbench.client.session import Session
from workbench.protocol.exits import Exit
from workbench.report.objects import inspect_object

from .engine import converse
from .options import existing
from .tables import console, show_inspection
from .talk import ProgressLine, print_json


@click.command()
@click.argument("file")
@click.option("--timeout", metavar="SECONDS", type=click.FloatRange(0), default=60.0, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def inspect(file: str, timeout: float, as_json: bool) -> int:
    """Show what FILE holds. None of its code is run, none of its tensors are read."""

    async def work(session: Session, line: ProgressLine) -> int:
        found = await session.inspect(existing(file), timeout)
        line.clear()
        if as_json:
            print_json(inspect_object(found))
        else:
            show_inspection(console(), found)
        return Exit.OK

    return converse(work, bench=False, quiet=as_json)
