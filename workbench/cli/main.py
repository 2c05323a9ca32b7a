"""The command line: which command, its options, and the one place where a failure becomes an exit code."""

from __future__ import annotations

import errno
import os
import sys

import click

from workbench import __version__
from workbench.protocol.exits import Exit
from workbench.protocol.failures import Failure, WorkbenchError

from .entry import COMMANDS, UNSPLASH

HELP = """\
usage: workbench [MODEL] [options]               the terminal app; without MODEL the open screen
       workbench run MODEL [options]             fire it, print what changed and what it cost
       workbench check MODEL [options]           is it ready to serve?
       workbench compare A [B] [options]         two models, or one under two settings, on the same inputs
       workbench matrix MODEL [options]          every mode side by side, and which to serve with
       workbench export MODEL --to KIND --out DIR   a bundle, proven before it is published
       workbench verify BUNDLE [options]         prove a bundle again, here or under --python
       workbench verify FILE --against MODEL     prove an artifact that somebody else made
       workbench inspect FILE                    what a file holds, without running any of its code
       workbench repair FILE --against MODEL     rename a checkpoint's names so that they fit a model
       workbench convert FILE --out DIR          a pickled module as an architecture and a state_dict, after a yes
       workbench demo [--autoplay]               the story of a model on its way to production

MODEL is path/file.py:Name or package.module:Name: an nn.Module class, a factory, or an instance.
Each command has its own --help. `workbench MODEL --help` shows the options of the app.
--traceback shows the full text behind an error.

exit codes: 0 all held · 1 a verdict is "no" · 2 wrong usage · 3 would not load or run · 4 the engine died,
            or out of time · 5 not trusted · 6 could not write · 70 our own error · 130 interrupted
"""


def command_line(arguments: list[str], splashed: bool) -> int:
    """Run one command. Returns the exit code; never raises but for what the interpreter itself raises."""
    if sys.stdout is None or sys.stderr is None:  # closed by whoever started us: there is nobody to talk to
        return Exit.WRITE
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]  # ASCII terminals get escapes
    as_json = "--json" in arguments
    traceback = "--traceback" in arguments
    rest = [word for word in arguments if word != "--traceback"]
    try:
        code = int(_dispatch(rest))
        sys.stdout.flush()
        return code
    except WorkbenchError as problem:
        return _refuse(problem.failure, splashed, as_json, traceback)
    except click.UsageError as problem:
        where = problem.ctx.command_path if problem.ctx else ""
        remedy = f"{where} --help" if where else "workbench --help"
        return _refuse(Failure("usage", problem.format_message(), "", remedy), splashed, as_json, traceback)
    except (KeyboardInterrupt, click.Abort):
        return _refuse(Failure("cancelled", "Interrupted."), splashed, as_json, traceback)
    except OSError as problem:
        if problem.errno not in (errno.EPIPE, errno.ENOSPC, errno.EDQUOT, errno.EIO):
            return _refuse(_own_error(problem), splashed, as_json, traceback)
        return _cannot_print(problem)
    except Exception as problem:  # noqa: BLE001 (the last boundary: an error of our own has a code of its own)
        return _refuse(_own_error(problem), splashed, as_json, traceback)


def _dispatch(arguments: list[str]) -> int:
    if arguments[:1] == ["--help"] or arguments[:1] == ["-h"]:
        sys.stdout.write(HELP)
        return Exit.OK
    if arguments[:1] == ["--version"]:
        sys.stdout.write(f"workbench {__version__}\n")
        return Exit.OK
    if arguments and arguments[0] in COMMANDS and arguments[0] != "demo":
        return _headless(arguments[0], arguments[1:])
    from .app import open_app

    return open_app(arguments)


def _headless(name: str, arguments: list[str]) -> int:
    from importlib import import_module

    from .invoke import invoke

    command: click.Command = getattr(import_module(f"workbench.cli.{name}"), name)
    return invoke(command, name, f"workbench {name}", arguments)


def _refuse(failure: Failure, splashed: bool, as_json: bool, traceback: bool) -> int:
    from .talk import fail

    if splashed:
        sys.stdout.write(UNSPLASH)
        sys.stdout.flush()
    return fail(failure, as_json, traceback)


def _cannot_print(problem: OSError) -> int:
    """The result could not be written to stdout: the disk behind it is full, or its reader is gone."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or the interpreter fails again at its end
    if problem.errno != errno.EPIPE:  # a reader that closed early, such as `head`, knows
        _refuse(Failure("write", f"The result could not be printed: {problem.strerror}."), False, False, False)
    return Exit.WRITE


def _own_error(problem: Exception) -> Failure:
    import traceback

    return Failure(
        "internal",
        f"An error of the workbench's own: {type(problem).__name__}: {problem}",
        remedy="Please report it, with what --traceback shows.",
        details="".join(traceback.format_exception(problem)),
    )
