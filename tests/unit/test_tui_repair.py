"""Repair of weights in the app: y on the card that refuses them, and taking it back."""

from __future__ import annotations

import dataclasses

import pytest

from tests.unit.test_tui_app import BIG, press, settle
from tests.unit.tui_fake import FakeSession, app_with
from workbench.protocol.failures import Failure, WorkbenchError
from workbench.protocol.model import Recipe
from workbench.tui.screens.error_card import ErrorCard

MISFIT = Recipe("net.py:Net", weights="wrapped.pt")
REFUSED = WorkbenchError(Failure("weights", "They do not fit.", "wrapped.pt", "y takes it.", repair="auto"))


def opened(session: FakeSession) -> list[Recipe]:
    return [asked[1] for asked in session.asked if isinstance(asked, tuple) and asked[0] == "open"]


@pytest.mark.parametrize("before", [None, Recipe("net.py:Net", weights="other.pt")])
async def test_y_takes_the_repair_and_it_can_be_taken_back(before: Recipe | None) -> None:
    session = FakeSession()
    app = app_with(session, before)
    async with app.run_test(size=BIG) as pilot:
        await settle(pilot)
        session.refuse = REFUSED
        app.desk.run(lambda desk: desk.open(MISFIT))
        await settle(pilot)
        assert isinstance(app.screen, ErrorCard)
        await press(pilot, "y")
        await settle(pilot)
        assert opened(session)[-1] == dataclasses.replace(MISFIT, repair="auto")
        app.desk.do("unrepair")
        await settle(pilot)
        assert opened(session)[-1] == (before or dataclasses.replace(MISFIT, weights=""))
        app.desk.do("unrepair")
        await settle(pilot)
        assert isinstance(app.screen, ErrorCard)
        assert "No repair was made" in app.desk.failures[-1].message
