"""The table of errors on the screen: its columns, where the cursor begins, where enter leads."""

from __future__ import annotations

import dataclasses
import math

import pytest

from tests.unit.pane_host import hosted
from tests.unit.tui_fake import FakeSession, app_with
from workbench.protocol.cause import CallError, ErrorTable, MeasureErrors
from workbench.report.causes import telling
from workbench.tui.draw.error_lines import call_line, head_lines, widths
from workbench.tui.draw.spans import cells_of, text_of
from workbench.tui.panes.errors import ErrorsPane
from workbench.tui.screens.errors import ErrorsScreen

CALLS = (
    CallError("", 0, "Net", 0, 0.0, 0.5, 0.5, 1e-6, "/models/net.py:9", inner=True),
    CallError("body", 0, "Block", 1, 0.0, 3e-4, 3e-4, 1e-6, "/models/net.py:20", inner=True),
    CallError("body.fc", 0, "Linear", 2, 0.0, 0.0, 0.0, 5e-7, "/models/net.py:21"),
    CallError("body.act", 0, "Swish", 2, 0.0, 3e-4, 3e-4, 5e-7, "/models/net.py:31"),
    CallError("norm", 0, "LayerNorm", 1, 3e-4, 0.0, 0.5, 5e-7, "/models/net.py:12"),
    CallError("norm", 1, "LayerNorm", 1, math.nan, math.nan, math.nan, 0.0, "", note="too large to be held"),
)
TABLE = ErrorTable(2, 1, CALLS, 3, 4, 6, "The error starts in body.act (Swish).", ("run 1 was built again",))


@pytest.mark.parametrize("width", [40, 78, 118, 200])
def test_every_line_fits_and_says_the_numbers(width: int) -> None:
    for place in range(len(CALLS)):
        assert cells_of(call_line(TABLE, place, width, True)) <= width
    text = text_of(call_line(TABLE, 3, width, True))
    assert text.startswith("● ")
    assert "3.0e-04" in text
    assert sum(widths(width)) <= width
    assert "The error starts in body.act" in " ".join(text_of(line) for line in head_lines(TABLE, width))


def test_what_says_most_is_chosen_in_order() -> None:
    assert [place for place, _ in telling(TABLE, 3)] == [0, 3, 4]
    assert [place for place, _ in telling(TABLE, 99)] == list(range(6))
    assert telling(dataclasses.replace(TABLE, calls=(), starts=-1, grows=-1), 5) == []


async def test_the_cursor_begins_where_the_error_starts_and_keys_walk() -> None:
    pane = ErrorsPane(TABLE)
    async with hosted(pane) as (host, pilot):
        pane.focus()
        await pilot.pause()
        assert pane._cursor == 3
        assert host.has("the error starts here")
        assert host.has("/models/net.py:31")
        await pilot.press("g")
        assert pane._cursor == 4
        await pilot.pause()
        assert host.has("it grows most here")
        await pilot.press("p", "p", "p")
        assert pane._cursor == 0
        await pilot.press("n", "n", "n", "s", "down", "down")
        assert pane._cursor == 5
        await pilot.pause()
        assert host.has("too large to be held")
        await pilot.press("enter")
        await pilot.pause()
        assert [event.path for event in host.said if isinstance(event, ErrorsPane.Opened)] == ["norm"]


async def test_a_table_without_calls_says_so() -> None:
    pane = ErrorsPane(ErrorTable(2, 1, (), -1, -1, 0, "No module was called in both runs."))
    async with hosted(pane, (60, 12)) as (host, pilot):
        pane.focus()
        await pilot.press("enter", "s", "g", "n", "p", "down")
        await pilot.pause()
        assert host.has("No module was called in both runs.")


async def test_the_key_shows_it_full_screen_and_enter_goes_to_the_module() -> None:
    session = FakeSession()
    table = ErrorTable(2, 1, (CallError("drop", 0, "Dropout", 1, 0.0, 0.6, 0.6, 1e-6),), 0, -1, 1, "It starts in drop.")

    async def request(body: object, timeout: float = 0.0) -> object:
        session.asked.append(body)
        return table if isinstance(body, MeasureErrors) else None

    session.request = request  # type: ignore[method-assign]
    app = app_with(session)
    async with app.run_test(size=(100, 30)) as pilot:
        await pilot.pause()
        for _ in range(2):
            await pilot.press("space")
            await pilot.pause()
        await pilot.press("F")
        while not isinstance(app.screen, ErrorsScreen):
            await pilot.pause()
        assert MeasureErrors(2, 0) in session.asked
        await pilot.press("enter")
        while app.screen is not app.main:
            await pilot.pause()
        await pilot.pause()
        assert app.desk.selected_module == "drop"
