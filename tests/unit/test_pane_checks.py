"""The checks pane: rows as they come, what it came to, the chosen one in full; and the key that runs them."""

from __future__ import annotations

import pytest

from tests.unit.pane_host import hosted
from tests.unit.tui_fake import FakeSession, app_with
from workbench.protocol.artifacts import CheckRow, Finding
from workbench.protocol.failures import error
from workbench.protocol.messages import Check
from workbench.tui.panes.checks import IDS, ChecksPane
from workbench.tui.screens.text_card import TextCard


def answered(name: str) -> CheckRow:
    if name == "repeatable":
        return CheckRow(name, "fail", "3 of 7 repeats differ.", "First to differ: drop.", "Press e for eval.", 0.1)
    if name == "threads":
        return CheckRow(name, "pass", "the serial answers", findings=(Finding("thread_grad_mode", "Grad mode is on."),))
    if name == "latency":
        return CheckRow(name, "", "Measured.", findings=(Finding("latency", "Median 1.2 ms."),))
    return CheckRow(name, "pass", f"evidence of {name}")


@pytest.mark.parametrize("size", [(80, 14), (84, 24), (200, 60)])
async def test_rows_as_they_come_then_the_verdict_and_the_first_fault(size: tuple[int, int]) -> None:
    pane = ChecksPane()
    async with hosted(pane, size) as (host, pilot):
        assert host.has("h asks whether the model on the bench is ready to serve")
        pane.start("train", "grad")
        await pilot.pause()
        assert host.has("0 of 16")
        assert host.has("◌ modes")
        for name in IDS:
            pane.put(answered(name))
        pane.finish()
        await pilot.pause()
        assert host.has("✗ not ready  14 held, 1 failed; 2 findings  train grad")
        assert host.has("✗ repeatable        fail  3 of 7 repeats differ.")
        assert host.has("cause First to differ: drop.")
        assert host.has("→ Press e for eval.")
        await pilot.press("end")
        assert host.has("· latency           Median 1.2 ms.")
        pane.set_modes("eval", "grad")
        await pilot.pause()
        assert host.has("h asks again")


async def test_the_remedy_is_a_key_where_the_modes_are_not_those_of_serving() -> None:
    pane = ChecksPane()
    async with hosted(pane, (120, 24)) as (host, pilot):
        pane.start("train", "grad")
        pane.put(CheckRow("modes", "pass", "fine"))
        pane.finish()
        await pilot.pause()
        assert host.has("press e for eval and g for no_grad")


async def test_the_cursor_stays_where_a_key_has_put_it_and_enter_opens() -> None:
    pane = ChecksPane()
    async with hosted(pane, (100, 30)) as (host, pilot):
        pane.start("eval", "no_grad")
        pane.put(answered("modes"))
        await pilot.press("home")
        for name in IDS[1:]:
            pane.put(answered(name))
        pane.finish()
        await pilot.pause()
        assert pane.chosen is not None
        assert pane.chosen.id == "modes"
        await pilot.press("enter")
        await pilot.pause()
        assert [said.row.id for said in host.said if isinstance(said, ChecksPane.CheckOpened)] == ["modes"]


async def test_the_clock_ticks_only_while_a_check_is_asked() -> None:
    pane = ChecksPane()
    async with hosted(pane, (100, 20)) as (host, pilot):
        assert pane._ticker is not None
        assert not pane._ticker._active.is_set()
        pane.start("eval", "no_grad")
        assert pane._ticker._active.is_set()
        pane.put(answered("modes"))
        pane.finish("cancelled")
        await pilot.pause()
        assert not pane._ticker._active.is_set()
        assert host.has("! cancelled  1 held  eval no_grad")
        pane.clear()
        await pilot.pause()
        assert host.has("h asks")


@pytest.mark.parametrize("size", [(80, 24), (120, 40)])
async def test_h_asks_every_check_of_the_model_as_it_is(size: tuple[int, int]) -> None:
    session = FakeSession()
    app = app_with(session)
    async with app.run_test(size=size) as pilot:
        await pilot.pause()
        await app.workers.wait_for_complete()
        modes = session.state.modes
        await pilot.press("h")
        await app.workers.wait_for_complete()
        await pilot.pause()
        assert [one.id for one in session.asked if isinstance(one, Check)] == list(IDS)
        assert session.state.modes == modes
        assert app.main.board.shown == "checks"
        assert app.main.checks.chosen is not None
        assert app.main.checks.chosen.id == "modes"
        await pilot.press("enter")
        await pilot.pause()
        assert isinstance(app.screen, TextCard)
        assert app.screen.heading == "modes: fail"
        await pilot.press("escape", "2")
        await pilot.pause()
        assert app.main.board.shown == "runs"


async def test_a_cancel_ends_the_checks_and_says_so() -> None:
    session = FakeSession()
    app = app_with(session)
    async with app.run_test(size=(100, 30)) as pilot:
        await pilot.pause()
        await app.workers.wait_for_complete()
        session.state.yardstick = "float64"
        session.refuse = error("cancelled", "The job was cancelled.")
        await pilot.press("h")
        await app.workers.wait_for_complete()
        await pilot.pause()
        assert "cancelled" in "".join(text for text, _ in app.main.checks.head_lines(80)[0])
        assert app.desk.failures == []
