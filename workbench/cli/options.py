"""The options that several commands share, and what they mean: a recipe, modes, limits."""

from __future__ import annotations

import dataclasses
import json
import os
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import click

from workbench.client.arguments import arguments_in
from workbench.client.captures import with_yes
from workbench.protocol.failures import WorkbenchError, error
from workbench.protocol.model import ModeChange, Recipe
from workbench.protocol.requests import SEARCH_SECONDS
from workbench.protocol.spec_reader import parse

Command = TypeVar("Command", bound=Callable[..., Any])


@dataclass(frozen=True)
class ModelOptions:
    """The common options, parsed."""

    recipe: Recipe
    change: ModeChange
    """For the whole model."""
    modules: tuple[ModeChange, ...]
    """Then, in this order, for single modules."""
    tolerance: float
    python: str
    timeout: float
    as_json: bool


search_option = click.option(
    "--search",
    metavar="SECONDS",
    type=click.FloatRange(0),
    default=SEARCH_SECONDS,
    help="How long to look for a counterexample beyond the fixed cases; 0: not at all.",
    show_default=True,
)
"""Of what makes or proves an artifact with the eager model at hand."""


def for_serving(options: ModelOptions) -> ModelOptions:
    """In eval under no_grad where the command line does not say otherwise."""
    change = options.change
    change = dataclasses.replace(change, training=bool(change.training), grad=change.grad or "no_grad")
    return dataclasses.replace(options, change=change)


def model_options(command: Command) -> Command:
    """Every common option of the command line's contract, for a command that opens a model."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


_OPTIONS: tuple[Callable[[Any], Any], ...] = (
    click.option(
        "--kwargs", metavar="JSON", default="", help="Keyword arguments: JSON, or @config.json, @config.toml#model."
    ),
    click.option(
        "--weights",
        metavar="FILE",
        default="",
        help="A state_dict: .pt, .pth or .safetensors; last.pt#ema is the one under that key.",
    ),
    click.option(
        "--repair",
        type=click.Choice(["auto", "yes"]),
        default=None,
        help="Weights whose names do not fit: auto renames where everything fits then; yes leaves the rest random.",
    ),
    click.option(
        "--input",
        "inputs",
        metavar="SPEC",
        multiple=True,
        help="One argument of forward, or a part of one: 'x=float32[4,10]', 'ids=int64[2,16]{0..100}', "
        "'x=float32[batch:1..64,10]', 'x=float32[4]{normal(0,2)}', 'mask=None', 'batch.x=float32[4]', 'xs[0]=bool[4]'.",
    ),
    click.option(
        "--inputs",
        "inputs_files",
        metavar="FILE",
        multiple=True,
        help="Real samples: .safetensors, .npz, .npy, .pt, .json, a picture, or a directory of them; "
        "'x.npy#samples' where the first dimension counts samples, 'x.npy#rows:8' for calls of 8 rows.",
    ),
    click.option(
        "--mode",
        "modes",
        metavar="MODE",
        multiple=True,
        help="train or eval for the whole model, 'body.drop=train' for one module.",
    ),
    click.option("--grad", type=click.Choice(["grad", "no_grad", "inference_mode"]), default=None, help="Grad mode."),
    click.option("--seed", type=int, default=0, help="Seeds construction and inputs.", show_default=True),
    click.option("--init-seed", type=int, default=None, help="Seeds construction alone, where it is another one."),
    click.option("--rng", type=click.Choice(["free", "fixed"]), default=None, help="Seed before every run?"),
    click.option("--dtype", metavar="DTYPE", default=None, help="Cast floating parameters and inputs: float16 …"),
    click.option("--device", metavar="DEVICE", default=None, help="cpu, cuda, cuda:1, mps …"),
    click.option("--threads", type=click.IntRange(1, 4096), default=None, help="Intra-op threads."),
    click.option("--tolerance", type=float, default=None, help="Largest |Δ| allowed, relative to the output's RMS."),
    click.option("--python", metavar="PATH", default="", help="Interpreter for the workers."),
    click.option("--trust", "digests", metavar="sha256:…", multiple=True, help="Trust exactly these bytes."),
    click.option("--allow-code", is_flag=True, help="Trust whatever is there (for CI)."),
    click.option("--timeout", metavar="SECONDS", type=click.FloatRange(0), default=None, help="For each step."),
    click.option("--json", "as_json", is_flag=True, help="Print one JSON object."),
)


def parse_model(target: str, asks: bool = False, **given: Any) -> ModelOptions:
    """Make sense of what click collected. Raises `WorkbenchError("usage")`, and "trust" for a capture that nobody
    trusted, unless somebody will be asked (`asks`); who is, mends an input spec on the screen, too."""
    for digest in given["digests"]:
        if re.fullmatch(r"(sha256:)?[0-9a-fA-F]{64}", digest) is None:
            raise error("usage", f"--trust {digest}: a digest has 64 hexadecimal figures.", "--trust")
    tolerance = given["tolerance"]
    if tolerance is not None and not 0 < tolerance < float("inf"):
        raise error("usage", f"--tolerance wants a number above 0, not {tolerance:g}.", "--tolerance")
    if not asks:
        _specs_read(given["inputs"])
    whole, modules = _modes(given["modes"])
    recipe = Recipe(
        target=target,
        kwargs=parse_kwargs(given["kwargs"]),
        weights=given["weights"],
        repair=given["repair"] or "",
        inputs=tuple(given["inputs"]),
        inputs_files=tuple(given["inputs_files"]),
        seed=given["seed"],
        init_seed=given["init_seed"],
        directory=os.getcwd(),
    )
    try:
        recipe = with_yes(recipe, digests=given["digests"], allow_code=given["allow_code"])
    except WorkbenchError as problem:
        if not asks or problem.failure.kind != "trust":
            raise
    change = ModeChange(
        training=whole,
        grad=given["grad"],
        rng=given["rng"],
        seed=given["seed"],
        dtype=given["dtype"],
        device=given["device"],
        threads=given["threads"],
    )
    return ModelOptions(
        recipe, change, modules, tolerance or 0.0, given["python"], given["timeout"] or 0.0, given["as_json"]
    )


def _specs_read(specs: tuple[str, ...]) -> None:
    """Raises `WorkbenchError("usage")` for one that is no spec, before anything is loaded."""
    for spec in specs:
        try:
            parse(spec)
        except WorkbenchError as problem:
            raise WorkbenchError(replace(problem.failure, kind="usage")) from problem


def parse_kwargs(text: str) -> dict[str, Any]:
    """What --kwargs holds. Raises `WorkbenchError("usage")`."""
    if not text:
        return {}
    if text.startswith("@"):
        return arguments_in(text[1:])
    try:
        found = json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError) as problem:
        remedy = """Quote it for the shell: --kwargs '{"width": 16}'"""
        raise error("usage", f"--kwargs is not JSON: {problem}.", "--kwargs", remedy) from problem
    if not isinstance(found, dict):
        raise error("usage", "--kwargs wants a JSON object of names and values.", "--kwargs", """'{"width": 16}'""")
    return found


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _modes(texts: tuple[str, ...]) -> tuple[bool | None, tuple[ModeChange, ...]]:
    whole: bool | None = None
    modules = []
    for text in texts:
        module, given, word = text.rpartition("=")
        if word not in ("train", "eval"):
            raise error(
                "usage", f"--mode {text}: a mode is train or eval.", "--mode", "--mode eval, or --mode body.drop=train"
            )
        if given:
            modules.append(ModeChange(module=module, module_training=word == "train"))
        else:
            whole = word == "train"
    return whole, tuple(modules)


def existing(path: str) -> str:
    """An absolute form of a path that the engine can use whatever its directory."""
    return str(Path(path).absolute())
