"""Exports from the app: what the proof is told, and a trust store that cannot be written. Late scans."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from textual.widgets import Input

from workbench.client.flows import remember_made
from workbench.client.trust import TrustStore, allowed
from workbench.protocol.artifacts import ExportResult, Fingerprint, Inspection
from workbench.protocol.failures import error
from workbench.protocol.messages import Export, Scanned, Verify
from workbench.protocol.model import Candidate, ModeChange
from workbench.tui.screens.ask import Choose
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


async def test_a_waiting_export_is_taken_out_of_the_queue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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
        await press(pilot, "X")
        assert "nothing is being exported" in app.main.activity.text
        app.desk.export_folder = str(tmp_path)
        for keys in (("x", "enter"), ("x", "down", "enter"), ("x", "down", "down", "enter")):
            await press(pilot, *keys)
        assert app.desk.exports.kinds == ["export", "aoti", "onnx"]
        await press(pilot, "X")
        assert isinstance(app.screen, Choose)
        await press(pilot, "up", "enter")  # the last one asked for is offered first
        rows = app.main.artifacts._rows
        assert app.desk.exports.kinds == ["export", "onnx"]
        assert (rows["aoti"].state, rows["onnx"].behind) == ("none", "export")
        assert "aoti was taken out of the queue" in app.main.activity.text
        app.main.artifacts._chosen = "onnx"
        app.main.show_pane("artifacts")
        await press(pilot, "X")  # the one at the cursor, without a question
        assert app.desk.exports.kinds == ["export"]
        await press(pilot, "X")  # the only one: it runs, and is cancelled
        assert "cancelling export" in app.main.activity.text
        gate.set()
        await settle(pilot)
        assert began == ["export"]
        assert app.desk.failures == []


async def test_the_export_card_takes_a_search_budget(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    session = FakeSession()
    app = app_with(session)
    async with app.run_test(size=BIG) as pilot:
        await settle(pilot)
        app.desk.export_folder = str(tmp_path)
        await press(pilot, "x")
        app.screen.query_one("#search", Input).value = "soon"
        await press(pilot, "enter")
        assert "wants seconds" in str(app.screen.query_one("#problem").render())
        app.screen.query_one("#search", Input).value = "60"
        await press(pilot, "enter")
        (request,) = [one for one in session.asked if isinstance(one, Export)]
        assert request.search == 60


async def test_verify_takes_a_command_and_a_number_of_ones_own(tmp_path: Path) -> None:
    (tmp_path / "numbers.py").write_text("def share(a, b): ...\n")
    session = FakeSession()
    app = app_with(session)
    async with app.run_test(size=BIG) as pilot:
        await settle(pilot)
        await press(pilot, "v")
        await press(pilot, "tab", *"serve x")
        assert app.screen.query_one("#runner", Input).value == "serve x"
        app.screen.query_one("#runner", Input).value = "serve {inputs}"
        await press(pilot, "enter")
        assert "has no {outputs}" in str(app.screen.query_one("#problem").render())
        app.screen.query_one("#runner", Input).value = "serve {inputs} {outputs}"
        app.screen.query_one("#metric", Input).value = f"{tmp_path}/numbers.py:share>=0.9"
        app.screen.query_one("#search", Input).value = "0"
        await press(pilot, "enter")
        (request,) = [one for one in session.asked if isinstance(one, Verify)]
        assert request.runner is not None
        assert (request.runner.command, request.path, request.search) == ("serve {inputs} {outputs}", "", 0)
        assert [(one.function, one.relation, one.limit) for one in request.metrics] == [("share", ">=", 0.9)]
        assert request.recipe == session.state.recipe


async def test_verify_keeps_what_refutes_an_artifact_of_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    (tmp_path / "net.pt2").write_text("")
    session = FakeSession()
    app = app_with(session)
    async with app.run_test(size=BIG) as pilot:
        await settle(pilot)
        app.desk.export_folder = str(tmp_path / "bundles")
        await session.change(ModeChange(threads=3, dtype="bfloat16"))
        await press(pilot, "v")
        app.screen.query_one("#line", Input).value = str(tmp_path / "net.pt2")
        await press(pilot, "enter", "y")
        (request,) = [one for one in session.asked if isinstance(one, Verify)]
        assert (request.keep, request.kind) == (str(tmp_path / "bundles" / "net.pt2"), "pt2")
        assert (request.threads, request.dtype, request.device) == (3, "bfloat16", "cpu")  # those of the bench


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
