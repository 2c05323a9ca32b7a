"""Runs one click command with defaults from files. Not through click's own `main`, which decides exit codes itself."""

from __future__ import annotations

from collections.abc import Sequence

import click

from .config import defaults


def invoke(command: click.Command, name: str, prog: str, arguments: Sequence[str]) -> int:
    """Parse `arguments`, put options from files behind them, and run. Returns the command's exit code.

    `name` is the command's table in the files. Raises `click.UsageError` and whatever the command raises.
    """
    found = defaults(_target(command, prog, arguments), name)
    known = {parameter.name for parameter in command.params}
    try:
        with command.make_context(
            prog, list(arguments), default_map={key: value for key, value in found.items() if key in known}
        ) as context:
            outcome = command.invoke(context)
    except click.exceptions.Exit as left:  # --help was printed
        return left.exit_code
    return outcome if isinstance(outcome, int) else 0


def _target(command: click.Command, prog: str, arguments: Sequence[str]) -> str:
    """The model that is named, as click itself reads the arguments; empty when none is."""
    quiet = [word for word in arguments if word not in ("--help", "-h")]
    with command.make_context(prog, quiet, resilient_parsing=True) as context:
        target = context.params.get("model") or context.params.get("against")
    return target if isinstance(target, str) else ""


def given_on_command_line(name: str) -> bool:
    """Whether the running command's parameter was given by hand, and not by a file or a default."""
    source = click.get_current_context().get_parameter_source(name)
    return source is click.core.ParameterSource.COMMANDLINE
