"""A large checkpoint onto the bench, beside a bare full read of it with meta and assign: seconds and peak memory.

Both sides are processes that have imported torch and nothing more, find the file in the page cache, and end when the
model can be run; in each round either is a new one. Right before, another process has used and left as much memory: a
virtual machine may have to ask its host for pages that nobody used for seconds, which takes three times as long as
reading, and would hit whoever comes first. Ours goes through the real protocol. Its sha256 comes a while
after the model, and how long that takes is told beside it.
"""

from __future__ import annotations

import statistics
from pathlib import Path

from workbench.protocol.model import ModeChange, Recipe
from workbench.protocol.requests import Load

from .child import HERE, Child
from .engine import Engine
from .measure import MIB, Settings, ratios, with_spread
from .procmem import forget_peak, peak
from .table import Row

LAYERS, LAYERS_FULL = 32, 128
"""Linear layers of 16 MiB each."""
SLOWER, PEAK = 1.2, 1.1


def measure(settings: Settings) -> list[Row]:
    layers = LAYERS_FULL if settings.full else LAYERS
    path = settings.folder / "big.safetensors"
    rounds = settings.rounds
    recipe = Recipe(
        f"{HERE / 'big_model.py'}:Big", kwargs={"layers": layers}, weights=str(path), inputs=("x=float32[1,2048]",)
    )
    loads, peaks, reads = [], [], []
    with Child("big_model.py", str(path), str(layers)) as bare:
        bare.ask("write")
        hashed = bare.ask("hash")
        for _ in range(rounds):
            with Engine() as engine:
                before = forget_peak(engine.worker.pid)
                bare.ask("touch")
                loads.append(engine.timed(Load(recipe, ModeChange(training=False, grad="no_grad"))))
                peaks.append(peak(engine.worker.pid) - before)
            with Child("big_model.py", str(path), str(layers), apart=True) as fresh:
                bare.ask("touch")
                reads.append(fresh.ask("read"))
    size = path.stat().st_size
    Path(path).unlink()
    slower, copies = ratios(loads, reads), tuple(bytes_ / size for bytes_ in peaks)
    note = f"{size / MIB:.0f} MB; load {statistics.median(loads):.2f} s, read {statistics.median(reads):.2f} s"
    note += f"; its sha256, made after the model is there, takes one core {hashed:.2f} s"
    return [
        Row(
            "checkpoint", "a checkpoint onto the bench, over a full read with meta and assign", f"≤ {SLOWER}",
            with_spread(slower), statistics.median(slower) <= SLOWER, note, slower,
        ),
        Row(
            "checkpoint", "the same, peak memory over the weights", f"≤ {PEAK}", with_spread(copies),
            max(copies) <= PEAK, "peak of the worker, above what it held before", copies,
        ),
    ]  # fmt: skip
