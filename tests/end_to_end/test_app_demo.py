"""The demo in a real terminal, by itself and by hand."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from .terminal import Terminal, assert_all_gone

Open = Callable[..., Terminal]


@pytest.mark.timeout(400)
@pytest.mark.parametrize(("rows", "columns"), [(24, 80), (40, 120)])
def test_the_story_plays_itself_and_every_claim_holds(workbench: Open, rows: int, columns: int) -> None:
    terminal = workbench("demo", "--autoplay", rows=rows, columns=columns)
    terminal.wait_for("1 of 11", 60)
    family = terminal.family()
    terminal.wait_for("11 of 11 steps held", 300)
    assert terminal.wait_exit() == 0
    terminal.assert_restored()
    assert_all_gone(family)


def test_by_hand_the_story_waits_for_the_keys_and_for_enter(workbench: Open) -> None:
    terminal = workbench("demo", rows=24, columns=80)
    terminal.wait_for("space fires it", 60)
    terminal.send("space")
    terminal.wait_for("#1 is the reference")
    terminal.send("enter")
    assert "1 of 11" in terminal.text
    terminal.send("space")
    terminal.wait_for("numbers differ")
    terminal.wait_for("enter goes on")
    terminal.send("enter")
    terminal.wait_for("2 of 11")
    terminal.send("q")
    assert terminal.wait_exit() == 0
    terminal.assert_restored()
