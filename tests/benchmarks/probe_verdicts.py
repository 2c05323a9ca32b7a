"""The verdicts held to account by the corpus: false alarms, faults caught with their cause, the smallest one seen."""

from __future__ import annotations

import json
import subprocess
import sys

from .child import ROOT
from .measure import Settings
from .table import Row

ENOUGH = 600
"""Verdicts on healthy models that the goal speaks of."""
SMALLEST = 10.0


def measure(settings: Settings) -> list[Row]:
    record = settings.folder / "corpus.json"
    command = [sys.executable, "-m", "tests.corpus", "--json", str(record), *(["--full"] if settings.full else [])]
    subprocess.run(command, cwd=ROOT, stdout=sys.stderr, check=False)  # it exits 1 for what the rows below show
    found = json.loads(record.read_text("utf-8"))
    spoken = [one for one in found["healthy"] if one["spoken"]]
    alarms = sum(one["alarm"] for one in spoken)
    nearest = max(spoken, key=lambda one: one["closeness"])
    faults = found["faults"]
    right, caught = sum(one["right"] for one in faults), sum(one["caught"] for one in faults)
    spread = sorted(one["spread"] for one in found["smallest"])
    single = sorted(one["one"] for one in found["smallest"])
    words = f"nearest {nearest['closeness']:.2f} of the limit: {nearest['model']} {nearest['dtype']}, "
    words += nearest["question"]
    note = (
        f"spread over an answer, in multiples of eager's own RMS error, the worst of {len(spread)} models and dtypes; "
    )
    note += f"in one element {single[0]:g} to {single[-1]:g} times eager's largest"
    return [
        Row(
            "verdicts", "false alarms on healthy models", f"0 of {ENOUGH}", f"{alarms} of {len(spoken)}",
            alarms == 0 and len(spoken) >= ENOUGH, words,
        ),
        Row(
            "verdicts", "seeded faults caught, cause named", "all", f"{caught} and {right} of {len(faults)}",
            right == len(faults),
        ),
        Row(
            "verdicts", "smallest fault detected", f"≤ {SMALLEST:g} × the noise", f"{spread[-1]:g} ×",
            spread[-1] <= SMALLEST, note, tuple(spread),
        ),
    ]  # fmt: skip
