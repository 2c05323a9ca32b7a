"""Loading and looking into a file, beside torch.load and the safetensors package in one process and shuffled order.

Our reading copies the file first, so that nobody can change it under a live model; theirs of .safetensors maps it.
Looking into a file of ours ends with its sha256, which theirs has not: a header alone is the 10 GB row.
"""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
import time
from pathlib import Path

from workbench.protocol.messages import Inspect

from .child import ROOT
from .engine import Engine
from .measure import Settings
from .table import Row

MIB, MIB_FULL = 256, 2048
SLOWER = 1.2
"""The design's factor for a checkpoint over a full read."""


def measure(settings: Settings) -> list[Row]:
    mib = MIB_FULL if settings.full else MIB
    command = [sys.executable, "-m", "tests.benchmarks.files", str(settings.folder), str(mib)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    seconds = json.loads(done.stdout.splitlines()[-1])
    rows = [
        _row("reading a .pt, over torch.load", seconds["read pt"], seconds["torch.load pt"], mib, SLOWER),
        _row("reading a .safetensors, over its bare bytes", seconds["read safetensors"], seconds["bytes safetensors"],
             mib, SLOWER),
        Row("files", "looking into a .pt: header; and its sha256", "",
            f"{seconds['header pt'] * 1000:.1f} ms; {seconds['inspect pt']:.2f} s", None, f"{mib} MiB"),
    ]  # fmt: skip
    if "load_file safetensors" in seconds:
        ours, theirs = seconds["read safetensors"], seconds["load_file safetensors"]
        rows.append(_row("reading a .safetensors, over load_file, which maps it", ours, theirs, mib, None))
        ours, theirs = seconds["header safetensors"], seconds["safe_open safetensors"]
        rows.append(_row("looking into a .safetensors, over safe_open", ours, theirs, mib, None))
    return [*rows, _sparse(settings.folder)]


def _row(what: str, ours: float, theirs: float, mib: int, goal: float | None) -> Row:
    ratio = ours / theirs
    held = None if goal is None else ratio <= goal
    note = f"{mib} MiB; {ours * 1000:.1f} ms beside {theirs * 1000:.1f} ms"
    return Row("files", what, f"≤ {goal}" if goal else "", f"{ratio:.2f}", held, note, (ours, theirs))


def _sparse(folder: Path) -> Row:
    """A file of 10 GB that is nearly all hole, through the whole engine."""
    path, size = folder / "sparse.safetensors", 10 << 30
    head = json.dumps({"x": {"dtype": "F32", "shape": [size // 4], "data_offsets": [0, size]}}).encode()
    path.write_bytes(struct.pack("<Q", len(head)) + head)
    os.truncate(path, 8 + len(head) + size)
    with Engine() as engine:
        began = time.perf_counter()
        engine.timed(Inspect(str(path)))
        seconds = time.perf_counter() - began
    path.unlink()
    what = "looking into 10 GB, through the engine"
    return Row("files", what, "≤ 1 s", f"{seconds:.2f} s", seconds <= 1.0, "with the start of a process", (seconds,))
