"""`workbench [MODEL]` and `workbench demo`: from the arguments into the terminal app.

The engine is started before Textual is imported, so that torch loads while the screen is drawn.
"""

from __future__ import annotations

import os
import sys
from typing import Any

import click

from workbench.client.launch import launch
from workbench.protocol.failures import error
from workbench.protocol.model import ModeChange

from .invoke import given_on_command_line, invoke
from .options import model_options, parse_model


def open_app(arguments: list[str]) -> int:
    """Open the app. Raises `WorkbenchError("terminal")` where there is no terminal to open it in."""
    command = demo if arguments[:1] == ["demo"] else app
    rest = arguments[1:] if command is demo else arguments
    if command is demo:
        return invoke(demo, "demo", "workbench demo", rest)
    return invoke(app, "app", "workbench", rest)


@click.command()
@click.argument("model", required=False, default="")
@model_options
@click.option("--theme", type=click.Choice(["dark", "light", "ansi"]), default=None, help="Colours.")
@click.option("--slow-link", is_flag=True, help="Paint twice a second at most, for a slow line.")
@click.option("--ascii", "ascii_only", is_flag=True, help="Draw without Unicode.")
def app(model: str, theme: str | None, slow_link: bool, ascii_only: bool, **given: Any) -> int:
    """Open MODEL, or the open screen, in the terminal app."""
    if given["as_json"]:
        raise error("usage", "The app prints no JSON; run, check, export, verify and inspect do.", "--json")
    if given_on_command_line("timeout"):
        raise error("usage", "The app has no --timeout: esc cancels what takes too long.", "--timeout")
    options = parse_model(model, asks=True, **given)
    _need_terminal()
    process = launch(bench=True, python=options.python, attended=True)
    from workbench.tui.app import run
    from workbench.tui.options import AppOptions, speaks_unicode

    return run(
        process,
        options.recipe if model else None,
        options.change,
        AppOptions(
            theme=theme or "",
            slow_link=slow_link,
            unicode=not ascii_only and speaks_unicode(),
            modules=options.modules,
            tolerance=options.tolerance,
            python=options.python,
        ),
    )


@click.command()
@click.option("--autoplay", is_flag=True, help="Let it press the keys itself, and leave when the story ends.")
@click.option("--theme", type=click.Choice(["dark", "light", "ansi"]), default=None, help="Colours.")
@click.option("--ascii", "ascii_only", is_flag=True, help="Draw without Unicode.")
def demo(autoplay: bool, theme: str | None, ascii_only: bool) -> int:
    """The story of a model on its way to production, on models that ship with the workbench."""
    # Nobody presses keys under --autoplay: workers yield to nobody, and what they measure is as headless commands do.
    _need_terminal()
    process = launch(bench=True, attended=not autoplay)
    from workbench.tui.app import run
    from workbench.tui.options import AppOptions, speaks_unicode

    return run(
        process,
        None,
        ModeChange(),
        AppOptions(demo=True, autoplay=autoplay, theme=theme or "", unicode=not ascii_only and speaks_unicode()),
    )


def _need_terminal() -> None:
    remedy = "Run it in a terminal; `workbench run`, `check`, `export` and `verify` need none."
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise error("terminal", "The app needs a terminal, and this is none.", "", remedy)
    if os.environ.get("TERM", "dumb") == "dumb":
        raise error("terminal", "This terminal cannot place text (TERM is dumb).", "TERM", remedy)
