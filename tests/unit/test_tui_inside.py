"""The console and the screen of one module in the app, on a session that answers at once: no engine, no terminal."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from textual.pilot import Pilot
from textual.widgets import Input

from workbench.client.state import OpenJob
from workbench.protocol.codec import Envelope
from workbench.protocol.failures import WorkbenchError, error
from workbench.protocol.inside import (
    Complete,
    Completions,
    Evaluate,
    Evaluated,
    HeldTensor,
    Inside,
    LookInside,
    ModuleCall,
    Paused,
    Resumed,
    SourcePart,
    TensorStats,
)
from workbench.protocol.messages import WorkerDied
from workbench.tui.app import WorkbenchApp
from workbench.tui.draw.inside_lines import facts_lines, source_lines, sparkline
from workbench.tui.draw.spans import cells_of, text_of
from workbench.tui.screens.console import ConsoleScreen
from workbench.tui.screens.inside import InsideScreen

from .test_tui_app import BIG, SMALL, press, settle
from .tui_fake import FakeSession, app_with

STATS = TensorStats("input", "float32", (4, 10), 40, 0.1, 1.0, -2.0, 2.0, 1.0, 3, 1, 0, (1, 0, 8, 2), device="cpu")
WEIGHT = HeldTensor("weight", "parameter", replace(STATS, path="weight"))
SOURCE = SourcePart("forward", "/home/net.py", 7, ("def forward(self, x):", "    return self.drop(x)  # [/bold]"))


def looked(path: str, calls: int = 2, **more: Any) -> Inside:
    made = tuple(ModuleCall(n, "net.py:3", (STATS,), (STATS,), ("scale = True",)) for n in range(calls))
    return Inside(
        path, "net.Net", True, "p=0.5", (SOURCE,), "", (WEIGHT,), 0,
        ("forward: record (net.py:1)",), 1, made, 0, **more,
    )  # fmt: skip


class TalkingSession(FakeSession):
    """Answers what is asked of the inside, and stands still when told to."""

    def __init__(self) -> None:
        super().__init__()
        self.answers: list[Evaluated | WorkbenchError] = []
        self.words = ("weight",)

    async def request(self, body: Any, timeout: float = 0.0) -> Any:
        self.asked.append(body)
        match body:
            case LookInside():
                return looked(body.path)
            case Complete():
                return Completions(len(body.text) - 1, self.words)
            case Evaluate():
                answer = self.answers.pop(0) if self.answers else Evaluated(f"ran {body.text}")
                if isinstance(answer, WorkbenchError):
                    raise answer
                return answer
        return None

    def stand_still(self, job: int = 7) -> None:
        self.state.jobs[job] = OpenJob(job, "Fire", 0.0, on_bench=True)
        from workbench.client.intake import take

        event = Paused(1, "net.py:41", "net.py:41 forward", "net.py:41 in Net.forward\n→   41  breakpoint()")
        take(self.state, Envelope(event, job, "bench"))
        self.tell(event)

    def go_on(self) -> None:
        self.state.jobs.clear()
        self.state.paused = None
        self.tell(Resumed(1))


def console(pilot: Pilot[None]) -> ConsoleScreen:
    screen = pilot.app.screen
    assert isinstance(screen, ConsoleScreen)
    return screen


def said(pilot: Pilot[None]) -> str:
    app = pilot.app
    assert isinstance(app, WorkbenchApp)
    return "\n".join(text for text, _ in app.desk.transcript.lines)


async def enter(pilot: Pilot[None], text: str) -> None:
    line = pilot.app.screen.query_one(Input)
    line.value = text
    line.cursor_position = len(text)
    await press(pilot, "enter")


# the console


async def test_a_line_runs_and_its_answer_is_shown() -> None:
    session = TalkingSession()
    async with app_with(session).run_test(size=SMALL) as pilot:
        await settle(pilot)
        await press(pilot, "colon")
        assert "act['path']" in said(pilot)
        await enter(pilot, "model")
        assert Evaluate("model") in session.asked
        assert ">>> model\nran model" in said(pilot)
        session.answers = [Evaluated("", "ValueError: [/bold] no", ("fc.weight: values",), "real")]
        await enter(pilot, "model.fc")
        for words in ("ValueError: [/bold] no", "changed: fc.weight: values", "real"):
            assert words in said(pilot)
        await press(pilot, "escape")
        assert not isinstance(pilot.app.screen, ConsoleScreen)
        await press(pilot, "colon")
        assert "ran model" in said(pilot), "the transcript is still there"


async def test_several_lines_are_one_entry_and_history_brings_it_back() -> None:
    session = TalkingSession()
    async with app_with(session).run_test(size=SMALL) as pilot:
        await settle(pilot)
        await press(pilot, "colon")
        await enter(pilot, "for i in x:")
        assert console(pilot).prompt == "…"
        assert console(pilot).query_one(Input).value == "    "
        await enter(pilot, "    print(i)")
        await enter(pilot, "")
        assert Evaluate("for i in x:\n    print(i)\n") in session.asked
        await enter(pilot, "1")
        await press(pilot, "up", "up")
        assert console(pilot).query_one(Input).value == "    print(i)"
        await press(pilot, "down")
        assert console(pilot).query_one(Input).value == "1"
        assert console(pilot).prompt == ">>>"


async def test_completion_and_what_ctrl_c_means_there() -> None:
    session = TalkingSession()
    async with app_with(session).run_test(size=SMALL) as pilot:
        await settle(pilot)
        await press(pilot, "colon", *"model.w", "tab")
        assert console(pilot).query_one(Input).value == "model.weight"
        session.words = ("alpha", "apex")
        await press(pilot, "ctrl+c")
        assert console(pilot).query_one(Input).value == "", "what was typed goes first, not the app"
        await press(pilot, *"qa", "tab")
        assert "alpha  apex" in said(pilot)


async def test_a_refusal_and_a_death_are_told_in_the_console() -> None:
    session = TalkingSession()
    async with app_with(session).run_test(size=SMALL) as pilot:
        await settle(pilot)
        await press(pilot, "colon")
        session.answers = [error("usage", "The run that was paused has gone on.")]
        await enter(pilot, "x")
        assert "has gone on" in said(pilot)
        died = WorkerDied("bench", 1, "it called os._exit(3)", 3, "", (), "Evaluate", False)
        session.state.engine, session.state.died = "dead", died
        session.tell(died)
        await settle(pilot)
        assert "the worker is gone: it called os._exit(3)" in said(pilot)
        await enter(pilot, "x")
        assert "K starts a fresh one" in said(pilot)


async def test_a_paused_run_opens_the_console_and_closes_it_when_it_goes_on() -> None:
    session = TalkingSession()
    async with app_with(session).run_test(size=SMALL) as pilot:
        await settle(pilot)
        session.stand_still()
        await settle(pilot)
        assert console(pilot).prompt == "net.py:41>"
        assert "breakpoint()" in said(pilot)
        await enter(pilot, "hidden")
        assert Evaluate("hidden", 1) in session.asked
        session.go_on()
        await settle(pilot)
        assert not isinstance(pilot.app.screen, ConsoleScreen)


async def test_while_a_run_is_paused_every_key_answers() -> None:
    session = TalkingSession()
    async with app_with(session).run_test(size=BIG) as pilot:
        await settle(pilot)
        app = pilot.app
        assert isinstance(app, WorkbenchApp)
        session.stand_still()
        await settle(pilot)
        await press(pilot, "escape")
        app.main.painter._said_at = float("-inf")
        app.main.touch()
        await settle(pilot)
        assert "paused at net.py:41" in app.main.activity.text
        before = len(session.asked)
        for key in ("space", "e", "x", "o", "I", "d"):
            await press(pilot, key)
            assert "paused at net.py:41" in app.main.activity.text
        assert len(session.asked) == before, "nothing was asked of a bench that is not free"
        await press(pilot, "4")
        assert app.main.board.shown == "memory" or app.main.focused is app.main.memory
        await press(pilot, "escape")
        assert ("cancel", 0) in session.asked
        await press(pilot, "colon")
        assert isinstance(app.screen, ConsoleScreen)


# one module


async def test_the_selected_module_is_looked_into_and_the_tree_is_walked() -> None:
    session = TalkingSession()
    async with app_with(session).run_test(size=BIG) as pilot:
        await settle(pilot)
        await press(pilot, "1", "down", "I")
        screen = pilot.app.screen
        assert isinstance(screen, InsideScreen)
        assert LookInside("fc") in session.asked
        await press(pilot, "n")
        assert screen.path == "drop"
        await press(pilot, "left")
        assert screen.path == ""
        await press(pilot, "left")
        assert screen.path == "", "the root has no parent"
        await press(pilot, "right", "right_square_bracket")
        assert (screen.path, screen.facts.call) == ("fc", 1)
        await press(pilot, "n", "escape")
        app = pilot.app
        assert isinstance(app, WorkbenchApp)
        assert app.main.selected_module == "drop", "the tree stands where the walk ended"


@pytest.mark.parametrize("size", [SMALL, BIG], ids=str)
async def test_the_source_is_searched(size: tuple[int, int]) -> None:
    session = TalkingSession()
    async with app_with(session).run_test(size=size) as pilot:
        await settle(pilot)
        await press(pilot, "I", "slash")
        await enter(pilot, "DROP")
        screen = pilot.app.screen
        assert isinstance(screen, InsideScreen)
        assert screen.source.wanted == "drop"
        assert screen.source.display
        await press(pilot, "slash")
        await enter(pilot, "nowhere")
        assert "not in the source" in screen._head.text
        await press(pilot, "tab")
        assert screen.facts.display


@pytest.mark.parametrize("unicode", [True, False])
@pytest.mark.parametrize("width", [20, 76, 200])
def test_lines_fit_and_say_what_is_there(width: int, unicode: bool) -> None:
    inside = looked("fc", note="The forward raised: no.")
    inside = replace(inside, source_note="It was edited.")
    lines = facts_lines(inside, 1, width, unicode)
    text = "\n".join(map(text_of, lines))
    for words in ("fc", "p=0.5", "run #1 replayed", "call 2 of 2", "float32[4,10]", "zeros", "NaN", "weight", "record"):
        assert words in text, words
    assert all(cells_of(line) <= max(width, 45) for line in lines)
    source = "\n".join(map(text_of, source_lines(inside, width)[0]))
    assert "7  def forward" in source
    assert "It was edited." in source


def test_a_module_that_was_not_called_and_a_call_that_did_not_return() -> None:
    assert "was not called in run #1" in "\n".join(map(text_of, facts_lines(looked("fc", 0), 0, 76, True)))
    call = ModuleCall(0, "", (), (), returned=False)
    inside = replace(looked("fc", 0), calls=(call,))
    text = "\n".join(map(text_of, facts_lines(inside, 0, 76, True)))
    assert "it did not return" in text
    assert "no tensor went in" in text


def test_a_bin_that_holds_anything_is_never_blank() -> None:
    assert sparkline((0, 1, 1000), True) == " ▁█"
    assert sparkline((0, 1, 1000), False) == " .@"
    assert sparkline((), True) == ""
