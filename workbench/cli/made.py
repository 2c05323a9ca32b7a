"""What an export made, as lines for people on stdout."""

from __future__ import annotations

from rich.console import Console
from rich.text import Text

from workbench.protocol.artifacts import Constraint, Made
from workbench.protocol.text import clean_line
from workbench.report.numbers import duration, no_difference, size


def show_made(out: Console, made: Made) -> None:
    """What an export made."""
    out.print(f"{made.file}  {size(made.bytes)}  in {duration(made.seconds)}")
    for dimension in made.dynamic:
        out.print(f"dynamic: {dimension}")
    for dimension in made.static:
        out.print(f"static:  {dimension}", style="yellow")
    for row in made.worklist:
        show_constraint(out, row)
    if made.speed:
        speed = made.speed
        doubt = ", so no difference is proven" if no_difference(speed) else ""
        out.print(
            f"speed:   {speed.ratio:.2f}× eager ({speed.low:.2f} to {speed.high:.2f} over {speed.rounds} rounds; "
            f"eager against itself {speed.control:.2f}×, {speed.control_low:.2f} to {speed.control_high:.2f}; "
            f"batch {speed.batch}, {speed.threads} threads){doubt}"
        )


def show_constraint(out: Console, row: Constraint) -> None:
    """A dimension that was to be free: what became of it, by which line, and what to do."""
    head = Text("todo:    ", "yellow")
    head.append(clean_line(f"{', '.join(row.places)} = {row.name}"), "bold")
    head.append(clean_line(f" was to be {row.wanted} and is {row.became}"))
    out.print(head)
    line = f"{row.where}: {row.line}" if row.where else ""
    asks = f"asks {row.expression} where {row.values}" if row.expression else ""
    for words in (line, asks, f"try: {row.remedy}"):
        if words:
            out.print(f"{'':9}{clean_line(words)}", style="" if words.startswith("try") else "dim")
