"""The screen of the memory account, on a session without an engine."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from rich.cells import cell_len

from workbench.protocol.memory import (
    AccountMemory,
    Counterfactual,
    DeviceAccount,
    Growth,
    MeasureCounterfactual,
    MemoryAccount,
    MemoryPart,
    MemorySample,
    SavedPart,
)
from workbench.tui.draw.account_lines import account_lines
from workbench.tui.draw.spans import text_of
from workbench.tui.panes.memory import MemoryPane
from workbench.tui.screens.account import AccountScreen

from .pane_host import hosted
from .pane_records import run_row
from .tui_fake import FakeSession, app_with

ACCOUNT = MemoryAccount(
    (
        DeviceAccount(
            "cpu",
            812 << 20,
            (
                MemoryPart("torch and Python", 310 << 20, "before any model came"),
                MemoryPart("parameters", 44 << 20, "61 tensors"),
                MemoryPart("saved for backward", 440 << 20, "90 tensors"),
                MemoryPart("not accounted for", 18 << 20, "the rest"),
            ),
            901 << 20,
        ),
    ),
    (SavedPart("body.0", 30 << 20, 3), SavedPart("body.1", 8 << 20, 3), SavedPart("head", 6 << 20, 1)),
    44 << 20,
    "",
    10,
    3 << 30,
    16 << 30,
)
OTHER = Counterfactual(
    Growth("grad", True, 10, 49.5 * (1 << 20), 495 << 20), Growth("no_grad", True, 10, 0.0, 12 << 20), "cpu",
    "with outputs kept, under grad: +49.5 MB a run; the same 10 runs under no_grad: +0.0 MB a run",
)  # fmt: skip


async def test_the_account_comes_first_and_the_counterfactual_after_it():
    session = FakeSession()
    gate = asyncio.Event()

    async def account(request: AccountMemory, _: asyncio.Event) -> Any:
        session.state.account = ACCOUNT
        return ACCOUNT

    async def other(request: MeasureCounterfactual, cancelled: asyncio.Event) -> Any:
        await gate.wait()
        session.state.counterfactual = OTHER
        return OTHER

    session.answers |= {"AccountMemory": account, "MeasureCounterfactual": other}
    app = app_with(session)
    async with app.run_test(size=(80, 24)) as pilot:
        for _ in range(5):
            await pilot.pause()
        await pilot.press("B")
        for _ in range(6):
            await pilot.pause()
        assert isinstance(app.screen, AccountScreen)
        shown = _picture(app)
        assert any("torch and Python" in line and "310 MB" in line and "█" in line for line in shown)
        assert any("not accounted for" in line for line in shown)
        await pilot.press("end")
        await pilot.pause()
        assert any("in a worker of their own" in line for line in _picture(app))
        gate.set()
        for _ in range(6):
            await pilot.pause()
        await pilot.press("end")
        await pilot.pause()
        assert "the same 10 runs under no_grad" in " ".join(
            " ".join(line.strip("┃ ") for line in _picture(app)).split()
        )
        assert all(cell_len(line) <= 80 for line in _picture(app))
        await pilot.press("escape")
        await pilot.pause()
        assert not isinstance(app.screen, AccountScreen)


def _picture(app: Any) -> list[str]:
    return [strip.text.rstrip() for strip in app.screen._compositor.render_strips()]


@pytest.mark.parametrize("width", [60, 76, 116])
def test_lines_are_wrapped_or_cut_and_never_garbage(width: int):
    texts = [text_of(line) for line in account_lines(ACCOUNT, None, OTHER, "", width)]
    assert any(text.startswith("cpu: RSS 812 MB, peak 901 MB") for text in texts)
    assert any("may still be taken" in text for text in texts)


async def test_the_memory_pane_says_which_modules_save():
    pane = MemoryPane()
    async with hosted(pane, (100, 12)) as (host, pilot):
        pane.add_sample(MemorySample(1.0, "bench", 812 << 20, 700 << 20, 901 << 20, 1.0))
        pane.set_run(run_row(1, saved_bytes=44 << 20))
        pane.set_account(ACCOUNT)
        await pilot.pause()
        assert host.has("44.0 MB: body 38.0 MB, head 6.0 MB")
