"""`workbench compare`: two models, or one under two settings, on the very same inputs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click
from rich.console import Console
from rich.text import Text

from workbench.client.captures import brings_its_own
from workbench.client.outside import METRIC_HELP, parse_metrics
from workbench.client.session import Session
from workbench.protocol.compare import Compare, Compared, Side, SideInfo
from workbench.protocol.exits import Exit
from workbench.protocol.runs import INCOMPARABLE, SIGNS
from workbench.report.compared import side_line, verdict_line, yardstick_line
from workbench.report.numbers import duration
from workbench.report.objects import compare_object

from .engine import converse
from .options import ModelOptions, for_serving, model_options, parse_model
from .tables import MARK_STYLES, check_line, console, show_errors, show_leaf
from .talk import ProgressLine, print_json

Command = TypeVar("Command", bound=Callable[..., Any])

_OF_B: tuple[Callable[[Any], Any], ...] = (
    click.option("--b-kwargs", metavar="JSON", default=None, help="B: keyword arguments in the place of --kwargs."),
    click.option("--b-weights", metavar="FILE", default=None, help="B: another weights file; '' is as constructed."),
    click.option("--b-mode", "b_modes", metavar="MODE", multiple=True, help="B: train, eval or 'body.drop=train'."),
    click.option("--b-grad", type=click.Choice(["grad", "no_grad", "inference_mode"]), default=None, help="B."),
    click.option("--b-dtype", metavar="DTYPE", default=None, help="B: float16 …; '' is as loaded."),
    click.option("--b-device", metavar="DEVICE", default=None, help="B: cpu, cuda, cuda:1, mps …"),
    click.option("--b-threads", type=click.IntRange(1, 4096), default=None, help="B: intra-op threads."),
)


OF_A_CLASS = {"kwargs": "", "weights": "", "repair": None}
"""Options of A that a capture as B is not given: it brings its own."""


def _side_options(command: Command) -> Command:
    for option in reversed(_OF_B):
        command = option(command)
    return command


@click.command()
@click.argument("model", metavar="A")
@click.argument("other", metavar="[B]", required=False, default="")
@model_options
@_side_options
@click.option("--metric", "metrics", metavar="FILE.py:NAME", multiple=True, help=METRIC_HELP)
def compare(model: str, other: str, **given: Any) -> int:
    """Judge B's answers by A's, on the very same inputs: at least 16 cases, with A's float64 run as the yardstick.

    Without B it is A's model again. Every option holds for both sides, but for those that begin with --b-, which say
    what is otherwise in B. Both are put in eval under no_grad first, unless --mode and --grad say otherwise.
    """
    metrics = parse_metrics(given.pop("metrics"))
    of_b = {name.removeprefix("b_"): given.pop(name) for name in [*given] if name.startswith("b_")}
    a = for_serving(parse_model(model, **given))
    to_b = {**given, **OF_A_CLASS} if other and brings_its_own(other) else given
    b = for_serving(parse_model(other or model, **_given_to_b(to_b, of_b)))
    request = Compare(_side(a), _side(b), a.tolerance, a.python, a.timeout, metrics)

    async def work(session: Session, line: ProgressLine) -> int:
        found: Compared = await session.request(request)
        line.clear()
        if a.as_json:
            print_json(compare_object(found))
        else:
            show_compared(console(), found)
        return Exit.OK if found.verdict == "pass" else Exit.VERDICT_NO

    return converse(work, bench=False, quiet=a.as_json)


def _given_to_b(given: dict[str, Any], of_b: dict[str, Any]) -> dict[str, Any]:
    """What B is given: A's options, and those of its own in their place; its modes come after A's."""
    modes = of_b.pop("modes")
    whole = any(word in ("train", "eval") for word in modes)
    own = {name: value for name, value in of_b.items() if value is not None}
    return {**given, **own, "modes": (*(() if whole else given["modes"]), *modes)}


def _side(options: ModelOptions) -> Side:
    return Side(options.recipe, (options.change, *options.modules))


def show_compared(out: Console, found: Compared) -> None:
    """The verdict, both sides, the cause, every output at its worst case, and where the two part."""
    style = MARK_STYLES.get(found.mark, "bold yellow")
    out.print(f"{SIGNS.get(found.mark, '?')} {verdict_line(found)}", style=style)
    if found.mark != INCOMPARABLE:
        out.print(f"  {yardstick_line(found)}", style="dim")
    for letter, side in (("A", found.a), ("B", found.b)):
        out.print(f"{letter}  {side_line(side)}  {_first(side)}")
    if found.cause:
        out.print(f"cause: {found.cause}")
        if found.remedy:
            out.print(f"  try: {found.remedy}")
    for words in found.differences:
        if words not in found.cause:
            out.print(f"differs: {words}")
    for leaf in found.leaves:
        out.print()
        show_leaf(out, leaf.worst, found.yardstick)
        if leaf.worst.mismatched:
            out.print(Text(f"  worst in {leaf.where}; {leaf.identical} of {leaf.cases} cases identical", "dim"))
    if found.errors is not None:
        out.print()
        show_errors(out, found.errors, found.cause)
    elif found.errors_left_out:
        out.print(f"errors: left out: {found.errors_left_out}", style="dim")
    for row in found.metrics:
        check_line(out, row)
    for finding in found.findings:
        out.print(f"{finding.id}: {finding.words}", style="dim")
    for note in found.notes:
        out.print(f"note: {note}", style="dim")


def _first(side: SideInfo) -> str:
    return f"first forward {duration(side.seconds)}" if side.seconds else ""
