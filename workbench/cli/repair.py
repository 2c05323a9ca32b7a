"""`workbench repair`: the map from a checkpoint's names to a model's, shown, and written where it is wanted."""

from __future__ import annotations

import os
from typing import Any

import click
from rich.console import Console

from workbench.client.session import Session
from workbench.protocol.exits import Exit
from workbench.protocol.failures import error
from workbench.protocol.model import Recipe
from workbench.protocol.repair import Repaired, RepairWeights
from workbench.protocol.text import clean_line
from workbench.report.objects import repair_object

from .engine import converse
from .options import existing, parse_kwargs
from .tables import console
from .talk import ProgressLine, print_json

SHOWN = 12
"""Names of each sort that are printed; --json has all of them."""


@click.command()
@click.argument("file")
@click.option("--against", metavar="MODEL", required=True, help="The model that the names must fit.")
@click.option("--kwargs", metavar="JSON", default="", help="Keyword arguments for the class or factory.")
@click.option("--seed", type=int, default=0, help="Seeds construction.")
@click.option("--out", metavar="FILE", default="", help="Write what fits here, renamed: .safetensors or .pt.")
@click.option("--python", metavar="PATH", default="", help="Interpreter for the worker.")
@click.option("--timeout", metavar="SECONDS", type=click.FloatRange(0), default=0.0)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def repair(file: str, against: str, out: str, as_json: bool, **given: Any) -> int:
    """Find out which name in FILE is which name of the model, by prefix, rename and shape; nothing is guessed silently.

    Leaves with 0 when every name of the model is found, in one way only, and with 1 otherwise.
    """
    if out and os.path.lexists(out):
        raise error("exists", f"{out} is there already.", "--out", "Choose another name.")
    recipe = Recipe(
        against, parse_kwargs(given["kwargs"]), weights=existing(file), seed=given["seed"], directory=os.getcwd()
    )
    target = os.path.abspath(out) if out else ""
    request = RepairWeights(recipe, target, given["python"], given["timeout"])

    async def work(session: Session, line: ProgressLine) -> int:
        found: Repaired = await session.request(request)
        line.clear()
        if as_json:
            print_json(repair_object(found))
        else:
            show_repair(console(), found)
        return Exit.VERDICT_NO if found.random or found.doubt else Exit.OK

    return converse(work, bench=False, quiet=as_json)


def show_repair(out: Console, found: Repaired) -> None:
    """Before and after, what is renamed, what is left, and the code."""
    whole = not found.random and not found.doubt
    out.print(clean_line(found.words), style="bold green" if whole else "bold yellow")
    if found.doubt:
        out.print(f"not sure: {clean_line(found.doubt)}", style="bold yellow")
    _some(out, "renamed", [f"{old} → {new}" for old, new in found.names])
    _some(out, "of another shape", list(found.shapes))
    _some(out, "would stay random", list(found.random))
    _some(out, "left over in the file", list(found.unused))
    if found.names:
        out.print("in Python, with the file's state_dict as state:")
        out.print("\n".join(f"    {clean_line(line)}" for line in found.code.splitlines()), style="dim")
    if found.path:
        out.print(f"written: {clean_line(found.path)}")


def _some(out: Console, title: str, lines: list[str]) -> None:
    if not lines:
        return
    out.print(f"{title} ({len(lines)}):")
    for line in lines[:SHOWN]:
        out.print(f"    {clean_line(line)}")
    if len(lines) > SHOWN:
        out.print(f"    … and {len(lines) - SHOWN} more", style="dim")
