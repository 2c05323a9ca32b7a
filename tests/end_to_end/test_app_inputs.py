"""Inputs edited in a real terminal: by keys, by text, refused, applied, and taken back."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from .terminal import ROOT, Terminal

STORY = f"{ROOT / 'sample_models' / 'story.py'}:Net"


@pytest.mark.timeout(300)
@pytest.mark.parametrize(("rows", "columns"), [(24, 80), (40, 120)])
def test_inputs_are_edited_applied_and_taken_back(workbench: Callable[..., Terminal], rows: int, columns: int) -> None:
    weights = str(ROOT / "sample_models" / "story.safetensors")
    terminal = workbench(STORY, "--weights", weights, "--mode", "eval", rows=rows, columns=columns)
    terminal.wait_for("space fires it", 100)
    terminal.send("space")
    terminal.wait_for("#1 is the reference", 60)
    terminal.send("N")
    terminal.wait_for("ctrl+t dtype")
    terminal.send("ctrl+r")
    terminal.wait_for("{normal(0,2)}")
    terminal.send("ctrl+n")
    terminal.wait_for(";[0,0]=1}")
    terminal.wait_for("--input")
    terminal.send("backspace")
    terminal.wait_for("sets no element")
    terminal.send("9")
    terminal.wait_for("[0,0]=9}' ")
    terminal.send("enter")
    terminal.wait_for("other inputs", 60)
    terminal.send("N")
    terminal.wait_for("[0,0]=9}")
    terminal.send("ctrl+z")
    terminal.wait_for("#3", 60)
    terminal.send("N")
    terminal.wait_for("ctrl+t dtype")
    terminal.burst(*"float32[3,10]{uniform}", "tab", "tab", *"77", "enter", "space")
    terminal.wait_for("#5", 60)  # enter applied and fired, and the key after it fired once more
    terminal.send("N")
    terminal.wait_for("seed            77")  # the field: where the command below is wrapped depends on the paths in it
    terminal.wait_for("x=float32[3,10]{uniform}'")
