"""Exports from the app: what the proof is told, and a trust store that cannot be written. Late scans."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from workbench.client.flows import remember_made
from workbench.client.trust import TrustStore, allowed
from workbench.protocol.artifacts import ExportResult, Fingerprint, Inspection
from workbench.protocol.failures import error
from workbench.protocol.messages import Export, Scanned
from workbench.protocol.model import Candidate, ModeChange
from workbench.tui.screens.open_screen import OpenScreen

from .pane_records import export_result
from .test_tui_app import BIG, press, settle
from .tui_fake import FakeSession, app_with


async def test_an_export_has_the_tolerance_and_threads_of_the_app_and_outlives_a_broken_trust_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    session = FakeSession()
    app = app_with(session, tolerance=0.25)
    async with app.run_test(size=BIG) as pilot:
        await settle(pilot)
        app.desk.export_folder = str(tmp_path)
        await session.change(ModeChange(threads=3))
        await press(pilot, "x", "enter")
        (request,) = [one for one in session.asked if isinstance(one, Export)]
        assert (request.tolerance, request.threads) == (0.25, 3)
        assert app.desk.failures == []
        assert app.screen is app.main
        assert "proven on" in app.main.activity.text
        assert "trust store cannot be written" in app.main.activity.text


async def test_a_second_export_waits_for_the_first_and_then_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    session, gate, began = FakeSession(), asyncio.Event(), []
    real = session.export

    async def export(request: Export, *given: object, **more: object) -> ExportResult:
        began.append(request.kind)
        await gate.wait()
        return await real(request)

    monkeypatch.setattr(session, "export", export)
    app = app_with(session)
    async with app.run_test(size=BIG) as pilot:
        await settle(pilot)
        app.desk.export_folder = str(tmp_path)
        await press(pilot, "x", "enter")
        await press(pilot, "x", "enter")  # the same kind once more: refused in the card
        assert "is being made already" in str(app.screen.query_one("#problem").render())
        await press(pilot, "down", "enter")
        assert (began, app.desk.exports.kinds) == (["export"], ["export", "aoti"])
        assert app.main.artifacts._rows["aoti"].behind == "export"
        gate.set()
        await settle(pilot)
        assert began == ["export", "aoti"]
        assert app.desk.exports.kinds == []
        assert [app.main.artifacts._rows[kind].state for kind in began] == ["made", "made"]


async def test_an_export_whose_model_left_before_its_turn_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    session, gate = FakeSession(), asyncio.Event()
    real = session.export

    async def export(request: Export, *given: object, **more: object) -> ExportResult:
        await gate.wait()
        return await real(request)

    monkeypatch.setattr(session, "export", export)
    app = app_with(session)
    async with app.run_test(size=BIG) as pilot:
        await settle(pilot)
        app.desk.export_folder = str(tmp_path)
        await press(pilot, "x", "enter")
        await press(pilot, "x", "down", "enter")
        session.state.epoch += 1
        gate.set()
        await settle(pilot)
        assert [one.message for one in app.desk.failures] == [
            "The model on the bench was changed before the turn of aoti came."
        ]


def test_what_was_made_here_is_trusted_here(tmp_path: Path) -> None:
    store, made = TrustStore(tmp_path / "trust.json"), export_result("export")
    assert remember_made(export_result("trace", published=False), store) == ""
    bundle = Fingerprint(made.path, "bundle", made.manifest_sha256, "CODE (Python)")
    assert not allowed(bundle, store)
    assert remember_made(made, store) == ""
    assert allowed(bundle, store)


async def test_a_late_scan_of_a_path_that_was_changed_is_not_shown(tmp_path: Path) -> None:
    for name in ("slow.py", "quick.txt"):
        (tmp_path / name).write_text("")
    scanned = asyncio.Event()

    async def unseen(path: str) -> Inspection:
        raise error("artifact", "nothing this knows", path)

    async def scan(path: str) -> Scanned:
        await scanned.wait()
        return Scanned(path, (Candidate("Late", "class", 1, ()),))

    app = app_with(FakeSession(), None)
    async with app.run_test(size=BIG) as pilot:
        screen = OpenScreen(scan, unseen, app.desk.open, str(tmp_path))
        app.push_screen(screen)
        await settle(pilot)
        line = screen.query_one("#path")
        line.value = "slow.py"  # type: ignore[attr-defined]
        await settle(pilot)
        line.value = "qu"  # type: ignore[attr-defined]
        await settle(pilot)
        scanned.set()
        await settle(pilot)
        assert screen._found.candidates == ()
