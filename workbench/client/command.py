"""The command that reproduces what is on the screen. Pure: records in, one line of shell out."""

from __future__ import annotations

import json
import shlex

from workbench.protocol.model import Modes, Recipe


def command_for(
    recipe: Recipe, modes: Modes | None = None, repeat: int = 0, tolerance: float = 0.0, python: str = ""
) -> str:
    """`workbench run …` with every option that differs from the command's own defaults, quoted for a shell.

    `repeat`: forwards in all; 0: as many as the command makes by itself. `tolerance` and `python`: 0 and "" where the
    app was given none.
    The command line has one seed: it fixes construction and inputs, and the generators where they are fixed.
    """
    words = ["workbench", "run", recipe.target]
    if recipe.kwargs:
        words += ["--kwargs", json.dumps(recipe.kwargs, sort_keys=True)]
    if recipe.weights:
        words += ["--weights", recipe.weights]
    if recipe.repair:
        words += ["--repair", recipe.repair]
    for spec in recipe.inputs:
        words += ["--input", spec]
    for file in recipe.inputs_files:
        words += ["--inputs", file]
    modes = modes or Modes()
    words += _switches(modes)
    seed = modes.seed if modes.rng == "fixed" else recipe.seed
    if seed:
        words += ["--seed", str(seed)]
    if recipe.init_seed is not None:
        words += ["--init-seed", str(recipe.init_seed)]
    if repeat:
        words += ["--repeat", str(repeat)]
    if modes.keep_outputs:
        words.append("--keep-outputs")
    if tolerance:
        words += ["--tolerance", repr(tolerance)]
    if python:
        words += ["--python", python]
    return shlex.join(words)


def module_training(modes: Modes, path: str) -> bool:
    """A module's own flag: the root's, turned over at every flip on the way down to `path` ("" is the root)."""
    training = modes.training
    if not path:
        return training
    parts = path.split(".")
    flips = set(modes.flips)
    for depth in range(1, len(parts) + 1):
        if ".".join(parts[:depth]) in flips:
            training = not training
    return training


def _switches(modes: Modes) -> list[str]:
    words: list[str] = []
    if not modes.training:
        words += ["--mode", "eval"]
    for path in sorted(modes.flips, key=lambda flip: (flip.count("."), flip)):  # parents first: children inherit
        words += ["--mode", f"{path}={'train' if module_training(modes, path) else 'eval'}"]
    if modes.grad != "grad":
        words += ["--grad", modes.grad]
    if modes.rng != "free":
        words += ["--rng", modes.rng]
    if modes.dtype:
        words += ["--dtype", modes.dtype]
    if modes.device != "cpu":
        words += ["--device", modes.device]
    if modes.threads:
        words += ["--threads", str(modes.threads)]
    return words
