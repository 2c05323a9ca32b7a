"""The open screen: what is selected is said without running it, and what a constructor wants is asked for."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from textual.widgets import Input

from workbench.protocol.artifacts import Inspection
from workbench.protocol.failures import WorkbenchError, error
from workbench.protocol.messages import Inspect, Scanned
from workbench.protocol.model import Candidate
from workbench.tui.draw.inspection import OPENS, short_told
from workbench.tui.screens.about import About
from workbench.tui.screens.arguments import asking, needed, optional, parse_arguments
from workbench.tui.screens.ask import Confirm
from workbench.tui.screens.found import Found
from workbench.worker.artifact.inspect import inspect
from workbench.worker.job import Job

from .test_tui_app import SMALL, press, settle
from .tui_fake import FakeSession, app_with

ARGUMENTS = ("width: int", "*", "depth: int = 2", "mode: str", "**options")


class Files(FakeSession):
    """A session that looks into files; the class in every source wants two arguments."""

    def __init__(self) -> None:
        super().__init__()
        self.answers = {"Inspect": self._look}

    async def _look(self, body: Inspect, stop: asyncio.Event) -> Inspection:
        assert not body.digest, "a short answer does not read the whole file"
        if body.path.endswith("odd.pt"):
            raise error("artifact", "odd.pt is broken: it is cut off.", body.path)
        if body.path.endswith(".pt"):
            return Inspection(body.path, "state_dict", "DATA", 9, "", (), 3, 1 << 20, (), (), {}, (), ("3 tensors.",))
        raise error("artifact", "a directory that is neither a bundle nor a model's", body.path)

    async def scan(self, path: str) -> Scanned:
        return Scanned(path, (Candidate("Plain", "class", 1, ()), Candidate("Net", "class", 3, ARGUMENTS)))

    @property
    def looked(self) -> list[str]:
        return [Path(one.path).name for one in self.asked if isinstance(one, Inspect)]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("a.pt", "m.py", "odd.pt"):
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "deeper").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


async def until(holds: Callable[[], object]) -> None:
    async with asyncio.timeout(20):
        while not holds():
            await asyncio.sleep(0.01)


async def test_a_selected_file_is_said_and_looked_at_once(place: Path) -> None:
    session = Files()
    app = app_with(session, None)
    async with app.run_test(size=SMALL) as pilot:
        await settle(pilot)
        about = app.screen.query_one(About)
        await until(lambda: "state_dict · DATA · 3 tensors, 1.0 MB" in str(about.content))
        assert OPENS["state_dict"] in str(about.content)
        await press(pilot, "down", "down")
        await until(lambda: "it is cut off" in str(about.content))
        await press(pilot, "down")
        await until(lambda: session.looked[-1] == "deeper" and not str(about.content))
        before = len(session.looked)
        await press(pilot, "down")
        assert "state_dict" in str(about.content), "known from before, at once"
        assert len(session.looked) == before


async def test_what_a_class_wants_stands_there_and_enter_asks_for_it(place: Path) -> None:
    session = Files()
    app = app_with(session, None)
    async with app.run_test(size=SMALL) as pilot:
        await settle(pilot)
        about, line = app.screen.query_one(About), app.screen.query_one("#arguments", Input)
        await press(pilot, *"m.py")
        await until(lambda: "Plain takes no arguments" in str(about.content))
        await press(pilot, "down")
        assert str(about.content) == "Net needs width: int, mode: str\nand takes depth: int = 2, **options"
        await press(pilot, "enter")
        assert (line.value, app.focused, session.state.recipe) == ("width= mode=", line, None)
        await press(pilot, "8")
        assert line.value == "width=8 mode="
        await press(pilot, "enter")
        assert "mode has no value yet" in str(app.screen.query_one("#open-status").render())
        await press(pilot, "end", *"fast", "enter")
        assert session.state.recipe is not None
        assert session.state.recipe.kwargs == {"width": 8, "mode": "fast"}


async def test_a_capture_is_opened_and_not_gone_into(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(place / "state"))
    (place / "net.capture").mkdir()
    manifest = {"schema": 1, "name": "Net", "source": "object", "why": "", "samples": 1, "calls": 1, "notes": [],
                "code": {}}  # fmt: skip
    (place / "net.capture" / "capture.json").write_text(json.dumps(manifest))
    session = Files()
    app = app_with(session, None)
    async with app.run_test(size=SMALL) as pilot:
        await settle(pilot)
        await press(pilot, *"net", "enter")
        assert isinstance(app.screen, Confirm), "its source is code"
        await press(pilot, "y")
        assert session.state.recipe is not None
        assert (session.state.recipe.target, len(session.state.recipe.trusted)) == ("net.capture", 64)


async def test_a_model_s_directory_is_built_or_is_the_weights_and_says_so_in_its_row(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(place / "state"))
    (place / "hf").mkdir()
    (place / "hf" / "config.json").write_text('{"architectures": ["Net"]}')
    app = app_with(Files(), None)
    async with app.run_test(size=SMALL) as pilot:
        await settle(pilot)
        found, path, weights = (app.screen.query_one(one) for one in ("#found", "#path", "#weights"))
        assert isinstance(found, Found)
        assert isinstance(path, Input)
        assert isinstance(weights, Input)
        rows = [str(found.get_option_at_index(at).prompt) for at in range(found.option_count)]
        assert rows == ["a.pt", "hf/   model with a config.json", "m.py", "odd.pt", "deeper/   folder"]
        await press(pilot, "down", "enter")
        assert path.value == "transformers:hf"
        weights.focus()
        await press(pilot, *"hf", "enter")
        assert weights.value == "hf"


async def test_what_only_the_engine_knows_is_asked_for_as_well(place: Path) -> None:
    session = Files()
    app = app_with(session, None)
    async with app.run_test(size=SMALL) as pilot:
        await settle(pilot)
        await press(pilot, *"pkg", "full_stop", *"m", "colon", *"Net")
        session.refuse = error("model", "Net wants width.", "--kwargs", asks=("width: int",))
        await press(pilot, "enter")
        line = app.screen.query_one("#arguments", Input)
        assert (line.value, app.focused) == ("width=", line)


def test_arguments_are_told_apart_and_asked_for_behind_what_is_typed() -> None:
    assert needed(ARGUMENTS) == ["width: int", "mode: str"]
    assert optional(ARGUMENTS) == ["depth: int = 2", "**options"]
    assert asking("depth=2", ("width: int", "mode")) == "depth=2 width= mode="
    assert asking('{"depth": 2}', ("width: int",)) == '{"depth": 2}'
    with pytest.raises(WorkbenchError) as empty:
        parse_arguments("width=")
    assert "has no value yet" in empty.value.failure.message


@pytest.mark.parametrize("kind", sorted(OPENS))
def test_every_kind_says_what_to_do_with_it(kind: str) -> None:
    found = Inspection("f", kind, "DATA", 5, "", (), 0, 0, (), (), {}, (), ("what it is",))
    assert short_told(found) == [("bold", f"{kind} · DATA · 5 B"), ("", OPENS[kind]), ("dim", "what it is")]


def test_a_look_without_a_digest_reads_no_more_than_it_must(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*given: Any) -> str:
        raise AssertionError("the whole file was read")

    monkeypatch.setattr("workbench.worker.artifact.inspect._sha256", never)
    (tmp_path / "m.py").write_text("import torch\n")
    assert inspect(Inspect(str(tmp_path / "m.py"), digest=False), Job(1, lambda body, number: None)).sha256 == ""
