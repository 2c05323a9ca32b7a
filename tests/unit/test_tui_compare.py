"""The picker "compare with": what it offers, what B becomes, and what the pane shows."""

from __future__ import annotations

from dataclasses import replace

import pytest

from workbench.client.compare import with_change, with_model, with_weights
from workbench.client.state import State
from workbench.protocol.cause import MeasureErrors
from workbench.protocol.compare import Compared, LeafCompared, Side, SideInfo
from workbench.protocol.model import ModeChange, Modes, Recipe
from workbench.tui.commands.compare import choices, show
from workbench.tui.draw.compare_lines import compared_lines
from workbench.tui.draw.run_table import detail_line, layout_for, row_line
from workbench.tui.draw.spans import cells_of, text_of
from workbench.tui.panes.diff import DiffPane
from workbench.tui.panes.errors import ErrorsPane
from workbench.tui.screens.errors import ErrorsScreen

from .pane_host import hosted
from .pane_records import leaf_diff, run_row
from .test_pane_diff import DIFF
from .test_pane_errors import TABLE
from .tui_fake import FakeSession, app_with

A = Side(
    Recipe("a.py:Net", {"width": 4}, "a.pt", seed=7, directory="/d"),
    (ModeChange(training=False, flips=("x",)),),
    "s.pt",
)
ONE = SideInfo("Net", "a.py:Net", "a.pt", 346, Modes(training=False, grad="no_grad"), 0.01)
TWO = replace(ONE, target="b.py:Net", weights="")
LEAF = LeafCompared(leaf_diff(), "batch 17, scale 1, seed 1006", "float64", 19, 2, 0.6, 1.0)
FOUND = Compared(
    "fail", "beyond", ONE, TWO, (LEAF,), 19, 4.2e5, "float64", "", ("The models are a.py:Net and b.py:Net.", "More."),
    "The models are a.py:Net and b.py:Net.", "", ("A itself refuses batch 3",),
)  # fmt: skip


def test_runs_that_are_pinned_or_came_before_are_offered_first() -> None:
    state = State(modes=Modes(training=True))
    state.rows = {1: run_row(1, pinned=True), 2: run_row(2), 3: run_row(3), 4: run_row(4)}
    offered = [value for value, _ in choices(state, 4)]
    assert offered == ["#3", "#1", "eval", "no_grad", "inference_mode", "dtype", "device", "weights", "model"]
    assert [value for value, _ in choices(State(), 0)][:1] == ["eval"]
    state.rows[3] = run_row(3, pinned=True)
    assert choices(state, 4)[0] == ("#3", "the run before, pinned")


def test_b_is_a_but_for_what_was_chosen() -> None:
    assert with_change(ModeChange(dtype="float16"))(A) == replace(A, changes=(*A.changes, ModeChange(dtype="float16")))
    assert with_weights("b.pt")(A) == Side(replace(A.recipe, weights="b.pt"), A.changes)
    other = with_model("b.py:Other")(A)
    assert other == Side(Recipe("b.py:Other", seed=7, directory="/d"), (ModeChange(training=False),))


@pytest.mark.parametrize("width", [40, 80, 120])
def test_the_pane_says_what_it_was_compared_with_and_why(width: int) -> None:
    lines = compared_lines(FOUND, width, True)
    text = " ".join(text_of(line).strip() for line in lines)
    for part in ("✗ beyond the noise: 4e+05×, 19 cases", "A Net a.py:Net", "B Net b.py:Net", "p99 ULP 9,216", "top-5"):
        assert " ".join(part.split()) in " ".join(text.split())
    assert "worst in batch 17" in text
    assert "2 of 19 cases identical" in " ".join(text.split())
    assert " ".join(text.split()).count("The models are a.py:Net and b.py:Net.") == 1
    assert all(cells_of(line) <= max(width, 44) for line in lines)


@pytest.mark.parametrize("width", [34, 78])
def test_the_pane_says_early_where_they_part_or_why_not(width: int) -> None:
    lines = compared_lines(replace(FOUND, errors=TABLE), width, True)
    text = " ".join(" ".join(text_of(line).strip() for line in lines).split())
    assert text.index("The error starts in body.act (Swish). F shows every module call.") < text.index("A Net a.py:Net")
    lines = compared_lines(replace(FOUND, errors_left_out="no path in common"), width, True)
    text = " ".join(" ".join(text_of(line).strip() for line in lines).split())
    assert "Where they part was left out: no path in common" in text
    assert all(cells_of(line) <= max(width, 44) for line in lines)


async def test_f_in_the_pane_shows_the_table_of_the_comparison_and_nothing_is_asked() -> None:
    session = FakeSession()
    app = app_with(session)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        await pilot.press("space")
        await pilot.pause()
        show(app.desk, replace(FOUND, errors=replace(TABLE, run=0, against=0)))
        await pilot.pause()
        await pilot.press("F")
        while not isinstance(app.screen, ErrorsScreen):
            await pilot.pause()
        pane = app.screen.query_one(ErrorsPane)
        assert (pane.border_title, pane._cursor) == ("error of B against A", TABLE.starts)
        await pilot.press("escape")
        while app.screen is not app.main:
            await pilot.pause()
        show(app.desk, replace(FOUND, errors_left_out="no path in common"))
        await pilot.pause()
        await pilot.press("F")
        await pilot.pause()
        assert app.screen is app.main
        assert "no table of errors for this comparison: no path in common" in app.main.activity.text
        app.desk.show_pane("runs")
        await pilot.pause()
        await pilot.press("F")
        await pilot.pause()
        assert "a difference wants two runs" in app.main.activity.text
        assert not [body for body in session.asked if isinstance(body, MeasureErrors)]


async def test_a_comparison_takes_the_place_of_a_difference_and_gives_it_back() -> None:
    pane = DiffPane()
    async with hosted(pane, (70, 14)) as (host, pilot):
        pane.show(DIFF)
        pane.show_compared(FOUND)
        await pilot.pause()
        assert host.has("19 cases")
        assert not host.has("#2 against #1")
        pane.show(DIFF)
        await pilot.pause()
        assert host.has("#2 against #1")


def test_a_pinned_run_is_marked_in_the_table() -> None:
    line = text_of(row_line(run_row(2, pinned=True), layout_for(120)))
    assert "■2" in line
    assert "pinned" in text_of(detail_line(run_row(2, pinned=True)))
    assert "★1" in text_of(row_line(run_row(1, pinned=True), layout_for(120)))
