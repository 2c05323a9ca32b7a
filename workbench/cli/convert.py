"""`workbench convert`: a pickled module explained and, after a yes, made into an architecture and a state_dict."""

from __future__ import annotations

import os
import shlex
from typing import Any

import click
from rich.console import Console

from workbench.client.convert import BECOMES, explained, pickled
from workbench.client.session import Session
from workbench.client.trust import TrustStore, allowed
from workbench.protocol.convert import Converted, ConvertPickled
from workbench.protocol.exits import Exit
from workbench.protocol.failures import error
from workbench.protocol.text import clean_line
from workbench.report.converted import opening, told
from workbench.report.objects import convert_object

from .engine import converse
from .options import existing, parse_kwargs
from .tables import console
from .talk import ProgressLine, print_json


@click.command()
@click.argument("file")
@click.option("--out", metavar="DIR", required=True, help="Where architecture.py and weights.safetensors are written.")
@click.option("--yes", is_flag=True, help="I know where FILE comes from: load it, which runs its code.")
@click.option("--source", metavar="PATH", default="", help="The script or directory that defines its classes.")
@click.option("--like", metavar="MODULE:FUNCTION", default="", help="What made it, e.g. torchvision.models:resnet18.")
@click.option("--kwargs", metavar="JSON", default="", help="Constructor arguments that the object does not tell.")
@click.option("--trust", "digests", metavar="sha256:…", multiple=True, help="Trust exactly these bytes.")
@click.option("--allow-code", is_flag=True, help="Trust whatever is there (for CI).")
@click.option("--python", metavar="PATH", default="", help="Interpreter for the worker.")
@click.option("--timeout", metavar="SECONDS", type=click.FloatRange(0), default=0.0)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def convert(file: str, out: str, yes: bool, as_json: bool, **given: Any) -> int:
    """Make an architecture and a state_dict of FILE, a pickled module (torch.save(model)).

    Without a yes it only says what FILE would run. Leaves with 0 when what was written makes the very model that was
    pickled, and with 1 when the architecture could not be written or makes another one; the weights are there then.
    """
    if os.path.lexists(out):
        raise error("exists", f"{out} is there already.", "--out", "Choose another name.")
    kwargs = parse_kwargs(given["kwargs"])

    async def work(session: Session, line: ProgressLine) -> int:
        path = existing(file)
        fingerprint = await pickled(session, path)
        if not (yes or allowed(fingerprint, TrustStore(), given["digests"], given["allow_code"])):
            words = " ".join([*await explained(session, path), BECOMES])
            raise error("trust", words, path, "If you know where it comes from: the same with --yes")
        request = ConvertPickled(
            path,
            fingerprint.sha256,
            out,
            os.getcwd(),
            given["source"],
            kwargs,
            given["python"],
            given["timeout"],
            given["like"],
        )
        found: Converted = await session.request(request)
        line.clear()
        if as_json:
            print_json(convert_object(found))
        else:
            show_converted(console(), found, _again(file, out, given["source"]))
        return Exit.OK if found.whole else Exit.VERDICT_NO

    return converse(work, bench=False, quiet=as_json)


def _again(file: str, out: str, source: str) -> list[str]:
    """The same command, into another directory."""
    words = ["workbench", "convert", file, "--out", f"{out.rstrip(os.sep)}-2"]
    return [shlex.quote(word) for word in (*words, *(["--source", source] if source else []))]


def show_converted(out: Console, found: Converted, command: list[str]) -> None:
    """What was written, what differs, and the command that opens it, or that would complete it."""
    for style, line in told(found):
        out.print(clean_line(line), style=style or None)
    out.print(opening(found, command), style="bold", soft_wrap=True)
