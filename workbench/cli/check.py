"""`workbench check`: is it ready to serve?"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from workbench.client.flows import run_checks
from workbench.client.outside import METRIC_HELP, parse_metrics
from workbench.client.policy import policy_for
from workbench.client.session import Session
from workbench.protocol.artifacts import BASELINE, CHECK_IDS, LATENCY, CheckRow
from workbench.protocol.failures import error
from workbench.protocol.files import write_text
from workbench.protocol.outside import METRIC_ID, Baseline
from workbench.report.checks import junit, markdown
from workbench.report.objects import check_object

from .engine import converse
from .options import existing, for_serving, model_options, parse_model
from .run import open_model
from .tables import check_line, console, show_check_verdict, show_model, show_policy
from .talk import ProgressLine, print_json

ALL_IDS = (*CHECK_IDS, LATENCY)
"""What may be asked for, in order."""

CHECK_SECONDS = 60.0
"""Seconds for each check where --timeout does not say."""


@click.command()
@click.argument("model")
@model_options
@click.option("--only", metavar="ID,…", multiple=True, help="Only these checks; repeatable.")
@click.option("--skip", metavar="ID,…", multiple=True, help="Not these checks; repeatable.")
@click.option("--junit", "junit_file", metavar="FILE", default="", help="Also write JUnit XML.")
@click.option("--markdown", "markdown_file", metavar="FILE", default="", help="Also write Markdown.")
@click.option("--baseline", metavar="BUNDLE", default="", help="Also hold it to the last release's golden answers.")
@click.option("--metric", "metrics", metavar="FILE.py:NAME", multiple=True, help=f"With --baseline. {METRIC_HELP}")
def check(
    model: str, only: tuple[str, ...], skip: tuple[str, ...], junit_file: str, markdown_file: str, **given: Any
) -> int:
    """Answer whether MODEL is ready to serve, one line for each check.

    The model is put in eval under no_grad first, unless --mode and --grad say otherwise.
    """
    against = _baseline(given.pop("baseline"), given.pop("metrics"))
    options = for_serving(parse_model(model, **given))
    policy = policy_for(model)
    limit = CHECK_SECONDS if given["timeout"] is None else options.timeout
    ids = _select(only, skip, against)

    async def work(session: Session, line: ProgressLine) -> int:
        out = console()
        loaded = await open_model(session, options)
        if not options.as_json:
            line.clear()
            show_model(out, loaded)
            show_policy(out, policy)

        told: dict[CheckRow, str] = {}

        def show(row: CheckRow) -> None:
            if options.as_json:
                return
            line.clear()
            said = replace(row, id="", seconds=0.0)  # a model that does not run is the same error for every check
            check_line(out, row, told.get(said, "") if row.status == "error" else "")
            told.setdefault(said, row.id)

        rows, code = await run_checks(session, ids, limit, show, policy, against=against)
        if junit_file:
            write_text(Path(junit_file), junit(model, rows, policy))
        if markdown_file:
            write_text(Path(markdown_file), markdown(model, rows, policy))
        if not options.as_json:
            show_check_verdict(out, rows)
        else:
            print_json(check_object(await session.hashed(loaded), rows, code, policy))
        return code

    return converse(work, bench=True, python=options.python, quiet=options.as_json)


def _baseline(bundle: str, metrics: tuple[str, ...]) -> Baseline | None:
    if bundle:
        return Baseline(existing(bundle), parse_metrics(metrics))
    if metrics:
        words = "--metric compares two sides, and here is one."
        raise error("usage", words, "--metric", "Name the other: --baseline BUNDLE, or use workbench compare A B.")
    return None


def _select(only: tuple[str, ...], skip: tuple[str, ...], against: Baseline | None) -> tuple[str, ...]:
    """Ids in the order they are asked; those about a release come last, and only where one is named."""
    wanted, unwanted = ({part.strip() for part in ",".join(given).split(",") if part.strip()} for given in (only, skip))
    last = () if against is None else (BASELINE, *dict.fromkeys(METRIC_ID + one.function for one in against.metrics))
    possible = (*ALL_IDS, *last)
    unknown = (wanted | unwanted) - set(possible)
    if unknown:
        raise error("usage", f"No such check: {', '.join(sorted(unknown))}.", "--only/--skip", ", ".join(possible))
    chosen = tuple(name for name in possible if (not wanted or name in wanted or name in last) and name not in unwanted)
    if not chosen:
        raise error("usage", "Nothing is left to check.", "--only/--skip", ", ".join(possible))
    return chosen
