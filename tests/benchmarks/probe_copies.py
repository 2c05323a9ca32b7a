"""How many copies of the weights the clean worker of a proof holds at its peak."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path

import psutil

from workbench.protocol.model import Recipe
from workbench.protocol.requests import Export, GetFingerprint, Verify

from .child import HERE, ROOT
from .engine import Engine
from .measure import MIB, Settings
from .procmem import peak
from .table import Row

LAYERS = 8
"""Linear layers of 16 MiB each."""
COPIES = 2.0
LOOK = 0.005
"""Seconds between two looks at the worker's peak; only what happens after the last look is missed."""
SMALL = Recipe("sample_models/story.py:Net", inputs=("x=float32[2,10]",), directory=str(ROOT))
LARGE = Recipe(f"{HERE / 'big_model.py'}:Big", kwargs={"layers": LAYERS}, inputs=("x=float32[2,2048]",))


def measure(settings: Settings) -> list[Row]:
    with Engine() as engine:
        around = proof_peak(engine, SMALL, settings.folder / "small")
        most = proof_peak(engine, LARGE, settings.folder / "large")
    weights = LAYERS * 16 * MIB
    copies = (most - around) / weights
    note = f"peak {most / MIB:.0f} MB, of which {around / MIB:.0f} MB for a small model; weights {weights / MIB:.0f} MB"
    return [
        Row(
            "copies",
            "copies of the weights in the clean worker",
            f"≤ {COPIES:g}",
            f"{copies:.2f}",
            copies <= COPIES,
            note,
        )
    ]  # fmt: skip


def proof_peak(engine: Engine, recipe: Recipe, bundle: Path) -> int:
    """Highest resident memory of the worker that proves a new bundle of `recipe`, bytes."""
    engine.ask(Export(recipe, "export", str(bundle)))
    digest = engine.ask(GetFingerprint(str(bundle))).sha256
    with watched(engine) as highest:
        engine.ask(Verify(str(bundle), digest))
    return highest[0]


@contextlib.contextmanager
def watched(engine: Engine) -> Iterator[list[int]]:
    """Look at the proof worker all the while; the list's one number is the highest that was seen."""
    highest, over = [0], threading.Event()

    def look() -> None:
        worker: psutil.Process | None = None
        while not over.wait(LOOK):
            with contextlib.suppress(psutil.Error, OSError, StopIteration):
                if worker is None or not worker.is_running():
                    worker = next((one for one in engine.workers() if "proof" in one.cmdline()), None)
                if worker is not None:
                    highest[0] = max(highest[0], peak(worker.pid))

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield highest
    finally:
        over.set()
        thread.join()
