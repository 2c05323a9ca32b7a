"""How a step sets its stage: which sample is opened how, and what is tried outside the bench."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from workbench.protocol.failures import WorkbenchError, error
from workbench.protocol.model import ModeChange, Recipe
from workbench.protocol.text import clean_line

from .samples import folder, recipe
from .scene import Scene

LOOP_RUNS = 20
"""Batches of the quiz's validation loop."""

_TRIAL = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
import pickled
whole, state = pickled.save_both(Path(sys.argv[2]))
print(pickled.load_elsewhere(pickled.LOAD_WHOLE, whole))
print(pickled.load_elsewhere(pickled.LOAD_STATE, state, Path(pickled.__file__)))
"""
"""Saves one model in both ways, and loads both in interpreters that cannot see its source."""


async def story_in_train(scene: Scene) -> None:
    await _open(scene, recipe("story.py", "Net", "story.safetensors"), ModeChange())


async def validation_loop(scene: Scene) -> None:
    change = ModeChange(training=False, grad="grad", keep_outputs=True)
    await _open(scene, recipe("validation_loop.py", "NetWithLoss"), change)


async def loop_runs(scene: Scene) -> None:
    row = await scene.desk.firing.many(LOOP_RUNS)
    if row is not None:
        await scene.desk.fired(row.run)


async def pickled_trial(scene: Scene) -> None:
    """Save a model as a pickle and as a state_dict, and load both: elsewhere, and on the bench."""
    scene.desk.say("saving one model in two ways, and loading both where its source is missing …")
    whole, state = await _saved_and_loaded(scene.scratch)
    scene.facts["whole"], scene.facts["state"] = whole, state
    model, place = f"{folder() / 'pickled.py'}:Net", Path(scene.scratch)
    try:
        await scene.desk.session.open(Recipe(model, weights=str(place / "whole.pt")))
    except WorkbenchError as problem:
        scene.facts["bench"] = problem.failure.message
    await _open(scene, Recipe(model, weights=str(place / "state.pt")), ModeChange(training=False))


async def wrong_shape(scene: Scene) -> None:
    await _open(scene, recipe("story.py", "Net", "story.safetensors", ("x=float32[4,11]",)), ModeChange())


async def wrong_dtype(scene: Scene) -> None:
    await _open(scene, recipe("story.py", "Net", "story.safetensors", ("x=float64[4,10]",)), ModeChange())


async def to_export(scene: Scene) -> None:
    scene.desk.export_folder = scene.scratch
    await _open(scene, recipe("story.py", "Net", "story.safetensors"), ModeChange(training=False, grad="no_grad"))


async def to_trace(scene: Scene) -> None:
    scene.desk.export_folder = scene.scratch
    await _open(scene, recipe("branch.py", "Branch"), ModeChange(training=False, grad="no_grad"))


async def _open(scene: Scene, wanted: Recipe, change: ModeChange) -> None:
    await scene.desk.open(wanted, change)


async def _saved_and_loaded(scratch: str) -> tuple[str, str]:
    """What loading said about the pickled module and about the state_dict: "loads", or the last line of the error."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", _TRIAL, str(folder()), scratch,
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        cwd=scratch, env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
    )  # fmt: skip
    try:
        out, problem = await process.communicate()
    except asyncio.CancelledError:
        process.kill()
        await process.wait()
        raise
    lines = out.decode("utf-8", "replace").splitlines()
    if len(lines) != 2:
        raise error("load", "The trial of the pickled module did not run.", details=problem.decode("utf-8", "replace"))
    return clean_line(lines[0]), clean_line(lines[1])
