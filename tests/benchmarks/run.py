"""Measures the design's numbers and prints them beside their goals.

    python -m tests.benchmarks [--only NAME]... [--full] [--rounds N] [--json FILE]

One probe a module, in the order below. A probe that cannot run is a row that says why, and makes the exit code 1;
a goal that was missed does so too.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
import tempfile
import time
import traceback
from pathlib import Path

from .child import ROOT
from .measure import Settings
from .table import Row, draw, machine, save, tell

PROBES = (
    "startup", "bytes", "keys", "throughput", "latency", "face", "tree", "checkpoint", "files", "compare",
    "attribution", "matrix", "proof", "contract", "copies", "death", "ending", "verdicts", "capture",
)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", action="append", choices=PROBES, help="this probe alone; may be given several times")
    parser.add_argument("--full", action="store_true", help="the sizes of the design's table: gigabytes, minutes")
    parser.add_argument("--rounds", type=int, default=5, help="turns of each side of a comparison")
    parser.add_argument("--json", type=Path, help="write everything, with the raw samples, to this file")
    given = parser.parse_args()
    os.environ["PYTHONPATH"] = str(ROOT)  # engines are started by module, from wherever this runs
    where = machine()
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="workbench-benchmarks-") as folder:
        for name in given.only or PROBES:
            home = Path(folder) / name
            home.mkdir()
            rows += run(name, Settings(given.full, given.rounds, home))
    print(draw(rows))
    if given.json:
        save(given.json, rows, where)
    sys.exit(any(row.holds is False for row in rows))


def run(name: str, settings: Settings) -> list[Row]:
    """The rows of one probe."""
    began = time.monotonic()
    tell(f"{name} …")
    try:
        rows: list[Row] = importlib.import_module(f".probe_{name}", __package__).measure(settings)
    except Exception as problem:  # noqa: BLE001 (the other probes still run; the row says what happened)
        tell(traceback.format_exc())
        return [Row(name, name, "", "could not be measured", False, f"{type(problem).__name__}: {problem}"[:300])]
    tell(f"{name}: {time.monotonic() - began:.0f} s")
    return rows
