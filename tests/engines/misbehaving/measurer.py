"""A worker that measures mode matrices as the recipe's `how` says, without torch.

`how` is a list of words, one for each cell: "fine", "crash", "hang", or "die" to die while nothing is looked at.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

import speech

from workbench.protocol.matrix import CRASHED, MEASURED, WAITING, WORKING, Cell, Matrix, MatrixCell, MeasureMatrix
from workbench.protocol.messages import Progress
from workbench.protocol.results import done


def measure(request: MeasureMatrix, job: int) -> None:
    how = request.recipe.kwargs["how"]
    grads = ("no_grad", "inference_mode", "grad")
    cells = [MatrixCell(Cell(place > 2, grads[place % 3]), "float32") for place in range(len(how))]
    if request.former is not None:
        cells = [
            one if one.status in (MEASURED, CRASHED) else replace(one, status=WAITING) for one in request.former.cells
        ]
    speech.send(Progress("looking", 0.0, 0.0, 0.0), job)
    for place, word in enumerate(how):
        if cells[place].status != WAITING:
            continue
        if word == "die":
            os.abort()
        cells[place] = replace(cells[place], status=WORKING)
        speech.send(Matrix(tuple(cells), "cpu", 1, 4), job)
        if word == "crash":
            os.abort()
        if word == "hang":
            time.sleep(60)
        cells[place] = replace(cells[place], status=MEASURED, baseline=not place)
        speech.send(Matrix(tuple(cells), "cpu", 1, 4, pick=0), job)
    speech.send(done(Matrix(tuple(cells), "cpu", 1, 4, pick=0, ended="done")), job)


if __name__ == "__main__":
    speech.greet()
    for envelope in speech.requests():
        threading.Thread(target=measure, args=(envelope.body, envelope.job)).start()
    os._exit(0)
