"""The screen of the mode matrix, on a session without an engine."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from rich.cells import cell_len

from workbench.protocol.matrix import Matrix, MeasureMatrix
from workbench.protocol.model import ModeChange
from workbench.tui.draw.matrix_table import cell_line, columns_for, detail_lines, title_line
from workbench.tui.draw.spans import text_of
from workbench.tui.panes.matrix import MatrixPane
from workbench.tui.screens.matrix import MatrixScreen

from .matrix_records import matrix
from .pane_host import hosted
from .tui_fake import FakeSession, app_with


class Measured:
    """Answers a request with a growing matrix."""

    def __init__(self, session: FakeSession, hold: bool = False) -> None:
        self.session, self.hold = session, hold
        session.answers["MeasureMatrix"] = self

    async def __call__(self, request: MeasureMatrix, cancelled: asyncio.Event) -> Any:
        for done in (0, 3):
            self._know(matrix(done))
        if self.hold:
            await cancelled.wait()
            return self._know(replace(matrix(3), ended="cancelled"))
        return self._know(matrix())

    def _know(self, known: Matrix) -> Matrix:
        self.session.state.matrix = known
        self.session.tell(known)
        return known


async def _settle(pilot: Any) -> None:
    for _ in range(5):
        await pilot.pause()


async def test_the_matrix_is_measured_once_and_a_cell_sets_the_bench():
    session = FakeSession()
    Measured(session)
    app = app_with(session)
    async with app.run_test(size=(80, 24)) as pilot:
        await _settle(pilot)
        await pilot.press("M")
        await _settle(pilot)
        assert isinstance(app.screen, MatrixScreen)
        asked = [body for body in session.asked if isinstance(body, MeasureMatrix)]
        assert [(one.compile, one.dtypes, one.state) for one in asked] == [(True, (), "state.pt")]
        await pilot.press("down", "down", "enter")
        await _settle(pilot)
        assert not isinstance(app.screen, MatrixScreen)
        assert session.asked[-1] == ModeChange(training=False, grad="grad")
        assert session.state.undo
        await pilot.press("M")
        await _settle(pilot)
        assert len([body for body in session.asked if isinstance(body, MeasureMatrix)]) == 1  # it is known
        await pilot.press("r")
        await _settle(pilot)
        assert len([body for body in session.asked if isinstance(body, MeasureMatrix)]) == 2
        await pilot.press("escape")
        await _settle(pilot)
        assert not isinstance(app.screen, MatrixScreen)


async def test_esc_cancels_first_and_keeps_what_there_is_then_closes():
    session = FakeSession()
    Measured(session, hold=True)
    app = app_with(session)
    async with app.run_test(size=(80, 24)) as pilot:
        await _settle(pilot)
        await pilot.press("M")
        await _settle(pilot)
        await pilot.press("escape")
        await _settle(pilot)
        assert isinstance(app.screen, MatrixScreen)
        assert any(isinstance(word, tuple) and word[0] == "cancel" for word in session.asked)
        assert session.state.matrix is not None
        assert session.state.matrix.ended == "cancelled"
        await pilot.press("escape")
        await _settle(pilot)
        assert not isinstance(app.screen, MatrixScreen)


async def test_dtypes_and_compile_are_chosen_for_the_next_measurement():
    session = FakeSession()
    Measured(session)
    app = app_with(session)
    async with app.run_test(size=(100, 30)) as pilot:
        await _settle(pilot)
        await pilot.press("M")
        await _settle(pilot)
        await pilot.press("p", "d")
        await _settle(pilot)
        await pilot.press(*"bfloat16", "enter")
        await _settle(pilot)
        last = [body for body in session.asked if isinstance(body, MeasureMatrix)][-1]
        assert (last.compile, last.dtypes) == (False, ("bfloat16",))


@pytest.mark.parametrize("width", [40, 76, 96, 116, 200])
def test_lines_fit_whatever_the_width(width: int):
    known = matrix()
    columns = columns_for(width, known)
    for place, cell in enumerate(known.cells):
        assert cell_len(text_of(cell_line(cell, columns, place == known.pick, known.yardstick))) <= width + 1
        assert all(cell_len(text_of(line)) <= width for line in detail_lines(known, cell, width, 14))
    assert text_of(title_line(columns)).split()[:2] == ["mode", "run"] if width > 70 else True


async def test_the_pane_shows_marks_reasons_and_the_recommendation():
    pane = MatrixPane()
    async with hosted(pane, (80, 24)) as (host, pilot):
        assert host.has("nothing is measured yet")
        pane.show(matrix(3))
        await pilot.pause()
        assert host.has("baseline")
        assert host.has("waiting")
        pane.show(matrix())
        await pilot.pause()
        assert host.has("→ eval inference_mode")
        assert host.has("= identical")
        assert host.has("? random")
        assert host.has("1.02× same")
        assert host.has("no difference here")
        await pilot.press("end")
        await pilot.pause()
        assert host.has("not tried")
        for line in host.picture():
            assert cell_len(line) <= 80
