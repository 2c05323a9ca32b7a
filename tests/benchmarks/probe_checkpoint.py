"""A large checkpoint onto the bench, beside a bare full read of it with meta and assign: seconds and peak memory."""

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
    rounds = min(3, settings.rounds)
    recipe = Recipe(
        f"{HERE / 'big_model.py'}:Big", kwargs={"layers": layers}, weights=str(path), inputs=("x=float32[1,2048]",)
    )
    loads, peaks, reads = [], [], []
    with Child("big_model.py", str(path), str(layers)) as bare:
        bare.ask("write")
        bare.ask("read")  # both sides find the file in the page cache
        for _ in range(rounds):
            with Engine() as engine:  # a fresh one, for the model on the bench stays until the next has come
                before = forget_peak(engine.worker.pid)
                loads.append(engine.timed(Load(recipe, ModeChange(training=False, grad="no_grad"))))
                peaks.append(peak(engine.worker.pid) - before)
            reads.append(bare.ask("read"))
        hashed = bare.ask("hash")
    size = path.stat().st_size
    Path(path).unlink()
    slower, copies = ratios(loads, reads), tuple(bytes_ / size for bytes_ in peaks)
    note = f"{size / MIB:.0f} MB; load {statistics.median(loads):.2f} s, read {statistics.median(reads):.2f} s"
    note += f"; a sha256 of the file alone, on one core, takes {hashed:.2f} s"
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
