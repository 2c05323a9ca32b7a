"""The path of a person in a real terminal: open, toggle, fire, see, find the cause, leak, export, verify."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from .terminal import Terminal, assert_all_gone

STORY = ("sample_models/story.py:Net", "--weights", "sample_models/story.safetensors")
LOOP = ("sample_models/validation_loop.py:NetWithLoss", "--mode", "eval")

Open = Callable[..., Terminal]


def ready(terminal: Terminal) -> Terminal:
    """Wait until the model of the command line is on the bench."""
    terminal.wait_for("space fires it", 60)
    return terminal


def leave(terminal: Terminal, code: int = 0) -> None:
    family = terminal.family()
    terminal.send("q")
    assert terminal.wait_exit() == code
    terminal.assert_restored()
    assert_all_gone(family)


@pytest.mark.parametrize(("rows", "columns"), [(24, 80), (40, 120)])
def test_train_differs_eval_is_identical_and_the_cause_is_found(workbench: Open, rows: int, columns: int) -> None:
    terminal = ready(workbench(*STORY, rows=rows, columns=columns))
    terminal.send("space")
    terminal.wait_for("#1 is the reference")
    terminal.send("space")
    terminal.wait_for("#2 is not what #1 was: max|Δ|")
    terminal.wait_for("✗")
    terminal.send("f")
    terminal.wait_for(re.compile(r"drop1.*train mode"))
    terminal.send("2", "e")
    terminal.wait_for("eval · grad")
    terminal.send("space")
    terminal.wait_for("#3 is not what #1 was")
    terminal.send("b")
    terminal.wait_for("compared with #3")
    terminal.send("space")
    terminal.wait_for("#4 is identical to #3")
    terminal.wait_for("= identical")
    terminal.send("u")
    terminal.wait_for("back to train")
    leave(terminal)


def test_the_difference_fills_the_screen_and_gives_it_back(workbench: Open) -> None:
    terminal = ready(workbench(*STORY, rows=24, columns=80))
    terminal.send("d")
    terminal.wait_for("diff: nothing was fired yet")
    terminal.send("space")
    terminal.wait_for("#1 is the reference")
    terminal.send("space")
    terminal.wait_for("#2 is not")
    terminal.send("d")
    terminal.wait_for("worst")
    terminal.wait_gone("2 runs ━")
    terminal.send("escape")
    terminal.wait_for("2 runs ─")
    leave(terminal)


def test_kept_outputs_climb_with_grad_and_not_without_and_the_app_says_so(workbench: Open) -> None:
    terminal = ready(workbench(*LOOP, rows=40, columns=120))
    terminal.send("k")
    terminal.wait_for("KEEPS OUTPUTS")
    terminal.send("r")
    terminal.wait_for("How many runs")
    terminal.type("12\n")
    terminal.wait_for(re.compile(r"▲ .*climb", re.IGNORECASE), 60)
    terminal.send("g")
    terminal.wait_for("eval · no_grad")
    terminal.send("r")
    terminal.wait_for("How many runs")
    terminal.type("12\n")
    terminal.wait_for(re.compile(r"= .*flat", re.IGNORECASE), 60)
    leave(terminal)


def test_a_continuous_fire_is_held_for_a_toggle_and_stopped_by_esc(workbench: Open) -> None:
    terminal = ready(workbench(*STORY, rows=24, columns=80))
    terminal.send("R")
    terminal.wait_for("esc stops")
    terminal.send("e")
    terminal.wait_for(re.compile(r"firing #2 ×\d+"))
    terminal.send("escape")
    terminal.wait_gone("esc stops")
    leave(terminal)


def test_an_export_is_proven_and_verified_again(workbench: Open, tmp_path: Path) -> None:
    terminal = ready(workbench(*STORY, rows=40, columns=120))
    terminal.send("x")
    terminal.wait_for("Export a proven bundle")
    terminal.type(f"{tmp_path}/bundle\n")
    terminal.wait_for("export: proven on", 90)
    assert (tmp_path / "bundle" / "manifest.json").exists()
    terminal.send("v")
    terminal.wait_for("A bundle brings its own cases")
    terminal.send("enter")
    terminal.wait_for("export: proven", 60)
    terminal.wait_for("✓ integrity")
    terminal.send("escape")
    terminal.wait_gone("✓ integrity")
    leave(terminal)


def test_a_model_is_opened_from_inside_and_a_bad_one_leaves_the_old(workbench: Open) -> None:
    terminal = workbench(rows=24, columns=80)
    terminal.wait_for("Open a model")
    terminal.type("sample_models/st")
    terminal.wait_for("sample_models/story.py")
    terminal.send("enter")
    terminal.wait_for("class, line")
    terminal.send("enter")
    terminal.wait_for("space fires it", 60)
    terminal.send("o")
    terminal.wait_for("Open a model")
    terminal.send("tab")
    terminal.type("width=wrong")
    terminal.send("enter")
    terminal.wait_gone("opening …", 30)
    terminal.send("escape")
    terminal.wait_gone("Open a model")
    terminal.send("space")
    terminal.wait_for("#1 is the reference")
    leave(terminal)


def test_a_wrong_shape_is_a_card_with_a_remedy_and_the_session_goes_on(workbench: Open) -> None:
    terminal = ready(workbench(*STORY, "--input", "x=float32[4,11]", rows=24, columns=80))
    terminal.send("space")
    terminal.wait_for("wants a last size of 10")
    terminal.wait_for("next")
    assert "Traceback" not in terminal.text
    terminal.send("t")
    terminal.wait_for("Traceback")
    terminal.send("escape")
    terminal.wait_gone("t traceback")
    leave(terminal)


def test_an_idle_screen_sends_nothing(workbench: Open) -> None:
    terminal = ready(workbench(*STORY, rows=40, columns=120))
    terminal.send("space")
    terminal.wait_for("#1 is the reference")
    terminal.wait_quiet(3.0)
    assert terminal.watch(3.0) == 0


def test_a_terminal_that_shrinks_is_asked_to_grow_and_recovers(workbench: Open) -> None:
    terminal = ready(workbench(*STORY, rows=24, columns=80))
    terminal.resize(20, 70)
    terminal.wait_for("Please enlarge the terminal")
    terminal.resize(24, 80)
    terminal.wait_for("2 runs")
    terminal.wait_gone("Please enlarge")
    leave(terminal)


def test_a_terminal_without_unicode_gets_ascii(workbench: Open) -> None:
    terminal = ready(workbench(*STORY, rows=24, columns=80, env={"LC_ALL": "C", "TERM": "xterm", "COLORTERM": ""}))
    terminal.send("space")
    terminal.wait_for("#1 is the reference")
    assert terminal.text.isascii()
    leave(terminal)


def test_h_asks_whether_it_is_ready_and_esc_ends_the_asking(workbench: Open) -> None:
    terminal = ready(
        workbench("sample_models/slow.py:Slow", "--mode", "eval", "--grad", "no_grad", rows=40, columns=120)
    )
    terminal.send("h")
    terminal.wait_for(re.compile(r"◌ 00:\d\d  repeatable  1 of 16"), 60)
    terminal.send("escape")
    terminal.wait_for("! cancelled", 60)
    terminal.send("2", "space")
    terminal.wait_for("#1 is the reference", 60)
    leave(terminal)


@pytest.mark.parametrize(("rows", "columns"), [(24, 80), (40, 120)])
def test_the_checks_say_what_is_not_ready_and_which_key_mends_it(workbench: Open, rows: int, columns: int) -> None:
    terminal = ready(workbench(*STORY, "--threads", "1", rows=rows, columns=columns))
    terminal.send("h")
    terminal.wait_for("✗ not ready", 110)
    terminal.wait_for(re.compile(r"✗ modes +fail"))
    terminal.wait_for("press e for eval and g for no_grad")
    terminal.send("e")
    terminal.wait_for("h asks again")
    terminal.send("2")
    terminal.wait_for("no runs yet")
    leave(terminal)
