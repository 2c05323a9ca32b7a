"""Comparisons in a real terminal: a pinned run, another mode, another weights file; the bench is as before."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from .terminal import ROOT, Terminal

STORY = f"{ROOT / 'sample_models' / 'story.py'}:Net"


@pytest.mark.timeout(300)
def test_runs_are_pinned_and_models_compared(workbench: Callable[..., Terminal]) -> None:
    weights = str(ROOT / "sample_models" / "story.safetensors")
    terminal = workbench(STORY, "--weights", weights, "--mode", "eval", rows=40, columns=120)
    terminal.wait_for("space fires it", 100)
    for number in (1, 2, 3):
        terminal.send("space")
        terminal.wait_for("#1 is the reference" if number == 1 else f"#{number} is identical to #1", 60)
    terminal.send("p")
    terminal.wait_for("#3 is pinned", 60)
    terminal.wait_for("■3")
    terminal.send("w")
    terminal.wait_for("the run before")
    terminal.send("enter")
    terminal.wait_for("#3 against #2", 60)
    terminal.send("w")
    terminal.wait_for("the whole model in train")
    terminal.send("down", "enter")
    terminal.wait_for("not comparable", 120)
    terminal.wait_for("drop", 10)
    terminal.send("2", "space")
    terminal.wait_for("#4 is identical to #1", 60)  # still in eval, with its runs
