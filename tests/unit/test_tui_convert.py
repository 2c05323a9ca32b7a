"""A pickled module in the app: from the card that refuses it, over a question, to what was made of it."""

from __future__ import annotations

import asyncio
import dataclasses
from pathlib import Path
from typing import Any

import pytest

from workbench.client.trust import TrustStore
from workbench.protocol.artifacts import Fingerprint, Inspection
from workbench.protocol.convert import Converted, ConvertPickled
from workbench.protocol.failures import Failure, error
from workbench.protocol.messages import Inspect
from workbench.tui.screens.ask import AskText, Confirm
from workbench.tui.screens.text_card import TextCard

from .test_tui_app import BIG, press, settle
from .tui_fake import FakeSession, app_with

WHOLE = Converted("/made", "models.Net", "/made/weights.safetensors", 2, "/made/architecture.py:model", (), "", (), (),
                  ())  # fmt: skip


class Pickles(FakeSession):
    """A session in which every file is a pickled module; `ends` are what the conversions come to, one after another."""

    def __init__(self, *ends: Any) -> None:
        super().__init__()
        self.ends = list(ends)
        self.answers = {"Inspect": self._inspected, "ConvertPickled": self._converted}

    async def fingerprint(self, path: str) -> Fingerprint:
        return Fingerprint(path, "pickle", "cd" * 32, "CODE (Python)")

    async def _inspected(self, body: Inspect, stop: asyncio.Event) -> Inspection:
        words = ("a pickled module",)
        return Inspection(body.path, "pickle", "CODE (Python)", 9, "", (), 0, 0, (), ("models.Net",), {}, (), words)

    async def _converted(self, body: ConvertPickled, stop: asyncio.Event) -> Converted:
        end = self.ends.pop(0)
        if isinstance(end, Exception):
            raise end
        return end  # type: ignore[no-any-return]

    @property
    def requests(self) -> list[ConvertPickled]:
        return [one for one in self.asked if isinstance(one, ConvertPickled)]


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.pt").write_bytes(b"")
    return str(tmp_path / "net.pt")


async def test_y_on_the_card_asks_once_more_converts_and_leaves_it_ready_to_be_opened(file: str) -> None:
    session = Pickles(WHOLE)
    app = app_with(session)
    async with app.run_test(size=BIG) as pilot:
        await settle(pilot)
        app.desk.fail(Failure("weights", "net.pt is pickled", convert=file))
        await press(pilot, "y")
        assert isinstance(app.screen, AskText)
        await press(pilot, "enter")
        assert isinstance(app.screen, Confirm)
        assert session.requests == [], "nothing is loaded before the yes"
        assert any("models.Net" in str(one.content) for one in app.screen.query("Static"))  # type: ignore[attr-defined]
        await press(pilot, "y")
        assert isinstance(app.screen, TextCard)
        (request,) = session.requests
        assert (request.path, request.sha256, request.partial) == (file, "cd" * 32, False)
        assert app.desk.wanted is not None
        assert (app.desk.wanted.target, app.desk.wanted.weights) == (WHOLE.architecture, WHOLE.weights)
        assert TrustStore().knows("cd" * 32)


async def test_a_no_loads_nothing(file: str) -> None:
    session = Pickles()
    app = app_with(session)
    async with app.run_test(size=BIG) as pilot:
        await settle(pilot)
        app.desk.fail(Failure("weights", "net.pt is pickled", convert=file))
        await press(pilot, "y", "enter")
        await press(pilot, "n")
        assert session.requests == []
        assert not TrustStore().knows("cd" * 32)
        assert "nothing of it was loaded" in app.main.activity.text


async def test_a_missing_source_and_missing_arguments_are_asked_for(file: str) -> None:
    lacking = dataclasses.replace(WHOLE, path="", architecture="", asks=("hidden: int",), why="it wants hidden: int")
    refusal = error("model", "net.pt wants __main__.Net.", file, "Name that script: --source train.py")
    session = Pickles(refusal, lacking, WHOLE)
    app = app_with(session)
    async with app.run_test(size=BIG) as pilot:
        await settle(pilot)
        app.desk.fail(Failure("weights", "net.pt is pickled", convert=file))
        await press(pilot, "y", "enter")
        await press(pilot, "y")
        assert isinstance(app.screen, AskText)
        await press(pilot, *"net.pt", "enter")
        assert session.requests[-1].source == "net.pt"
        assert isinstance(app.screen, AskText)
        await press(pilot, *"hidden", "equals_sign", "6", "enter")
        assert (session.requests[-1].kwargs, session.requests[-1].partial) == ({"hidden": 6}, True)
        assert isinstance(app.screen, TextCard)
