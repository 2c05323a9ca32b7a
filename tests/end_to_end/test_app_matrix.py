"""The mode matrix and the memory account in a real terminal, with real workers."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from .terminal import ROOT, Terminal

Open = Callable[..., Terminal]

LONG = 150.0
"""Seconds for what starts a worker of its own on a machine that is busy with other tests."""


@pytest.mark.timeout(500)
def test_the_matrix_is_measured_cancelled_and_sets_the_bench_and_memory_is_explained(workbench: Open) -> None:
    terminal = workbench(f"{ROOT / 'sample_models' / 'story.py'}:Net", rows=24, columns=80)
    terminal.wait_for("space fires it", LONG)
    terminal.send("M")
    terminal.wait_for("baseline", LONG)
    terminal.wait_for("identical", LONG)
    terminal.send("escape")
    terminal.wait_for("cancelled in", LONG)  # what is known stays
    assert "= identical" in terminal.text
    terminal.send("down", "enter")
    terminal.wait_for("no runs yet", LONG)
    terminal.send("space")
    terminal.wait_for("#1 is the reference", LONG)
    terminal.send("u")
    terminal.wait_for("back to train", LONG)
    terminal.send("B")
    terminal.wait_for("torch and Python", LONG)
    terminal.wait_for("saved for backward by one forward", LONG)
    terminal.send("escape")
    terminal.wait_gone("r again", LONG)
