"""The flow of a mode matrix: crashes and cancels with workers that need no torch; the command with a real one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from workbench.protocol.failures import Failure
from workbench.protocol.matrix import CRASHED, MEASURED, SKIPPED, WORKING, Matrix, MeasureMatrix
from workbench.protocol.messages import Cancel, Progress
from workbench.protocol.model import Modes, Recipe

from .misbehaving.face import Face

MODELS = Path(__file__).resolve().parent.parent / "unit" / "matrix_models.py"


def request(*how: str, **more: Any) -> MeasureMatrix:
    return MeasureMatrix(Recipe("net.py:Net", {"how": list(how)}), Modes(), **more)


def states(matrix: Matrix) -> list[str]:
    return [one.status for one in matrix.cells]


async def test_cells_come_as_they_are_done():
    async with Face("measurer.py") as face:
        matrix = await face.ask(request("fine", "fine"))
        assert states(matrix) == [MEASURED, MEASURED]
        assert [states(one).count(MEASURED) for one in face.of(Matrix)] == [0, 1, 1, 2]


async def test_a_cell_that_takes_its_worker_down_is_a_cell_and_the_others_go_on():
    async with Face("measurer.py") as face:
        matrix = await face.ask(request("fine", "crash", "fine", "crash", "fine"), 30)
        assert states(matrix) == [MEASURED, CRASHED, MEASURED, CRASHED, MEASURED]
        assert "abort" in matrix.cells[1].reason.lower()
        assert matrix.ended == "done"


async def test_what_crashes_again_and_again_is_given_up():
    async with Face("measurer.py") as face:
        matrix = await face.ask(request("fine", *["crash"] * 5), 30)
        assert states(matrix) == [MEASURED, *[CRASHED] * 4, SKIPPED]


async def test_a_death_between_looks_keeps_what_there_is_and_one_before_any_is_a_failure():
    async with Face("measurer.py") as face:
        matrix = await face.ask(request("fine", "die", "fine"), 20)
        assert states(matrix) == [MEASURED, SKIPPED, SKIPPED]
        failure = await face.ask(request("die"), 20)
        assert isinstance(failure, Failure)
        assert failure.kind == "engine"
        assert "the mode matrix" in failure.message


async def test_a_cancel_keeps_what_there_is():
    async with Face("measurer.py") as face:
        job = face.send(request("fine", "hang", "fine"))
        await face.until(lambda event: isinstance(event.body, Matrix) and states(event.body)[1] == WORKING)
        await face.ask(Cancel(job))
        await face.end_of(job)
        matrix = await face.ask(request("fine"))
        assert states(matrix) == [MEASURED]
        ended = next(event.body for event in face.events if event.job == job and type(event.body).__name__ == "Done")
        assert ended.failure is None
        assert ended.result["body"]["ended"] == "cancelled"
        assert [one["status"] for one in ended.result["body"]["cells"]] == [MEASURED, SKIPPED, SKIPPED]


async def test_a_cancel_before_anything_is_known_is_a_cancel():
    async with Face("measurer.py") as face:
        job = face.send(request("hang"))
        await face.until(lambda event: isinstance(event.body, Progress))
        await face.ask(Cancel(job))
        end = await face.end_of(job)
        assert end.failure is not None or end.result["body"]["ended"] == "cancelled"


@pytest.mark.timeout(400)
def test_the_command_prints_a_table_or_json():
    words = [sys.executable, "-m", "workbench", "matrix", f"{MODELS}:Dropping", "--input", "x=float32[8,10]"]
    words += ["--no-compile", "--rounds", "5"]
    wide = {**os.environ, "COLUMNS": "160"}
    refused = subprocess.run([*words, "--grad", "grad"], capture_output=True, text=True, timeout=60, check=False)
    assert refused.returncode == 2
    shown = subprocess.run(words, capture_output=True, text=True, timeout=190, check=False, env=wide)
    assert shown.returncode == 0, shown.stderr
    assert "eval · no_grad · float32 · eager" in shown.stdout
    assert "random: not comparable" in shown.stdout
    assert "serve with:" in shown.stdout
    told = subprocess.run([*words, "--json"], capture_output=True, text=True, timeout=190, check=False, env=wide)
    found = json.loads(told.stdout)
    assert (found["schema"], found["verdict"]) == (1, "pass")
    assert len(found["cells"]) == 6
    assert found["cells"][0]["baseline"] is True
    assert found["recommendation"]["cell"].startswith("eval · ")
    assert [one["recommended"] for one in found["cells"]].count(True) == 1
