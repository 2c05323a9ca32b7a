"""Rows of the numbers table: what was wanted, what was measured, and how far that can be believed."""

from __future__ import annotations

import dataclasses
import json
import os
import platform
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from workbench import __version__
from workbench.protocol.files import write_text


@dataclass(frozen=True)
class Row:
    """One number beside its goal."""

    probe: str
    what: str
    goal: str
    measured: str
    """With its unit and its spread."""
    holds: bool | None
    """None: measured, but there is nothing to hold it against here."""
    note: str = ""
    """How it was measured, or what disturbs it."""
    samples: tuple[float, ...] = field(default=(), repr=False)
    """Raw numbers, for the JSON only."""


def verdict(row: Row) -> str:
    return {True: "yes", False: "NO", None: "-"}[row.holds]


def draw(rows: Sequence[Row]) -> str:
    """The table as text, notes below it."""
    head = ("what", "goal", "measured", "held")
    lines = [head, *((row.what, row.goal, row.measured, verdict(row)) for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    text = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines]
    text.insert(1, "  ".join("-" * width for width in widths))
    notes = [f"  {row.what}: {row.note}" for row in rows if row.note]
    return "\n".join([*text, *(["", "Notes", *notes] if notes else [])])


def machine() -> dict[str, object]:
    """Where it was measured."""
    return {
        "workbench": __version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cores": os.cpu_count(),
        "load_before": os.getloadavg()[0],
    }


def save(path: Path, rows: Sequence[Row], where: dict[str, object]) -> None:
    """Write everything as one JSON object."""
    record = {"schema": 1, "machine": where, "rows": [dataclasses.asdict(row) for row in rows]}
    write_text(path, json.dumps(record, indent=1, ensure_ascii=False) + "\n")


def tell(words: str) -> None:
    """Talk to the person who waits; the table alone goes to stdout."""
    print(words, file=sys.stderr, flush=True)
