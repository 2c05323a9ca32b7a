"""`workbench verify`: prove a bundle again, or an artifact that somebody else made."""

from __future__ import annotations

import dataclasses
import os
from typing import Any

import click

from workbench.client.exports import exit_of
from workbench.client.flows import authorize
from workbench.client.outside import METRIC_HELP, parse_metrics, parse_runner
from workbench.client.session import Session
from workbench.client.trust import TrustStore, require_named
from workbench.protocol.failures import error
from workbench.protocol.messages import Verify
from workbench.protocol.outside import RUNNER_SECONDS
from workbench.protocol.text import clean_line
from workbench.report.objects import verify_object

from .engine import converse
from .invoke import given_on_command_line
from .options import ModelOptions, existing, model_options, parse_model, search_option
from .tables import console, show_proof
from .talk import ProgressLine, print_json

_OF_THE_MODEL = {
    "kwargs": "--kwargs",
    "weights": "--weights",
    "repair": "--repair",
    "inputs": "--input",
    "inputs_files": "--inputs",
    "seed": "--seed",
    "init_seed": "--init-seed",
    "dtype": "--dtype",
}


@click.command()
@click.argument("path", metavar="BUNDLE|FILE", required=False, default="")
@click.option("--against", metavar="MODEL", default="", help="The eager model that FILE must agree with.")
@model_options
@click.option("--metric", "metrics", metavar="FILE.py:NAME", multiple=True, help=METRIC_HELP)
@click.option(
    "--runner",
    metavar="CMD",
    default="",
    help="A command in the place of FILE: 'CMD {inputs} {outputs}', two .safetensors files; one case a call.",
)
@click.option("--runner-shell", is_flag=True, help="Let a shell read the command of --runner.")
@click.option(
    "--runner-timeout",
    metavar="SECONDS",
    type=click.FloatRange(0, min_open=True),
    default=RUNNER_SECONDS,
    help="For one call of --runner.",
    show_default=True,
)
@search_option
@click.option(
    "--keep",
    metavar="DIR",
    default=None,
    help="Where a counterexample to FILE is kept, as DIR.failed; default: FILE's own name, here. Empty: nowhere.",
)
def verify(path: str, against: str, **given: Any) -> int:
    """Prove BUNDLE again, here or under --python; or prove FILE, or the command of --runner, against an eager MODEL."""
    command, shell, seconds = given.pop("runner"), given.pop("runner_shell"), given.pop("runner_timeout")
    search, keep = given.pop("search"), given.pop("keep")
    metrics = parse_metrics(given.pop("metrics"))
    digests: tuple[str, ...] = given["digests"]
    allow_code: bool = given["allow_code"]
    options = parse_model(against, **given)
    _refuse(path, against, command, options, search)
    runner = parse_runner(command, shell, seconds) if command else None
    change = options.change

    async def work(session: Session, line: ProgressLine) -> int:
        request = Verify(
            path=existing(path) if path else "",
            sha256="",
            recipe=options.recipe if against else None,
            device=change.device or "cpu",
            dtype=change.dtype or "",
            threads=change.threads or 0,
            python=options.python,
            tolerance=options.tolerance,
            search=search,
            timeout=options.timeout,
            runner=runner,
            metrics=metrics,
            keep=_keep(path, keep) if against and not command else "",
        )
        if runner is None:
            trusted = await authorize(session, request.path, TrustStore(), digests, allow_code)
            if not against:  # otherwise a digest may be the model's
                require_named(trusted, digests)
            request = dataclasses.replace(request, sha256=trusted.sha256, kind=trusted.kind)
        result = await session.verify(request)
        line.clear()
        if options.as_json:
            print_json(verify_object(result))
        else:
            show_proof(console(), result.proof)
            for one in result.proof.findings:
                if one.id == "counterexample":
                    console().print(f"counterexample: {clean_line(one.remedy)}")
        return exit_of(result.proof.verdict)

    return converse(work, bench=False, quiet=options.as_json)


def _keep(path: str, given: str | None) -> str:
    """The place for a counterexample; the name of the artifact in the current directory where none is given."""
    if given is None:
        return os.path.abspath(os.path.basename(os.path.abspath(path)))
    return os.path.abspath(os.path.expanduser(given)) if given else ""


def _refuse(path: str, against: str, command: str, options: ModelOptions, search: float) -> None:
    """Raises `WorkbenchError("usage")` for what makes no sense together."""
    if bool(path) == bool(command):
        words = "Name what is to be proven: a bundle, a file, or a command with --runner; one of them."
        raise error("usage", words, "BUNDLE|FILE", "workbench verify FILE --against file.py:Name")
    if command and not against:
        words = "A runner is proven against the model in whose place it answers."
        raise error("usage", words, "--runner", "Name it: --against file.py:Name --weights FILE")
    stray = [option for name, option in _OF_THE_MODEL.items() if given_on_command_line(name)]
    if stray and not against:
        raise error("usage", f"{', '.join(stray)}: a bundle brings its own.", stray[0], "They go with --against MODEL.")
    if not against and os.path.isfile(path):
        words = f"{path} is no bundle: an artifact is proven against the model it was made from."
        raise error("usage", words, path, "Name it: --against file.py:Name --weights FILE")
    for option in ("search", "keep"):
        nothing = option == "search" and not search  # not at all, which is what is done
        if given_on_command_line(option) and not nothing and (command or not against):
            words = "Only a file is searched beside its model for a counterexample; bundles and runners are not."
            raise error("usage", words, f"--{option}", "It goes with FILE --against MODEL.")
    if given_on_command_line("rng"):
        raise error("usage", "A proof seeds every case by itself; --rng is not for it.", "--rng")
    change = options.change
    if options.modules or change.training or change.grad not in (None, "no_grad"):
        raise error("usage", "Artifacts are proven against eager in eval under no_grad.", "--mode/--grad")
