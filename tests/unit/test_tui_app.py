"""The app on a session that answers at once: keys, dialogs, errors, endings. No engine, no terminal."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest
from textual import events
from textual.app import App
from textual.pilot import Pilot
from textual.widgets import Input, OptionList

from workbench.protocol.exits import Exit
from workbench.protocol.failures import Failure, error
from workbench.protocol.messages import Export, LogLines, ModesNow, Verify
from workbench.protocol.model import ModeChange
from workbench.tui.app import WorkbenchApp
from workbench.tui.screens.ask import AskText, Choose, Confirm
from workbench.tui.screens.error_card import ErrorCard, remedy_here
from workbench.tui.screens.open_screen import OpenScreen
from workbench.tui.screens.palette import Palette
from workbench.tui.screens.text_card import TextCard

from .tui_fake import RECIPE, FakeSession, app_with, refusal

BIG, SMALL = (120, 40), (80, 24)


async def settle(pilot: Pilot[None]) -> None:
    """Let commands and their repaint happen."""
    for _ in range(4):
        await pilot.pause()
    app = pilot.app
    assert isinstance(app, WorkbenchApp)
    app.main.wiring.flush()
    await pilot.pause()


async def press(pilot: Pilot[None], *keys: str) -> None:
    for key in keys:
        await pilot.press(key)
        await settle(pilot)


async def test_a_model_is_opened_and_fired_and_compared() -> None:
    session = FakeSession()
    async with app_with(session).run_test(size=BIG) as pilot:
        await settle(pilot)
        await press(pilot, "space", "space")
        app = pilot.app
        assert isinstance(app, WorkbenchApp)
        assert sorted(session.state.rows) == [1, 2]
        assert ("diff", 2) in session.asked
        assert app.main.diff.shown == (2, 1)
        assert "max|Δ| 0.49" in app.main.activity.text


async def test_the_pane_the_words_and_the_keys_are_about_the_run_that_was_chosen() -> None:
    session = FakeSession()
    async with app_with(session).run_test(size=BIG) as pilot:
        await settle(pilot)
        await press(pilot, *["space"] * 4, "up", "up")
        app = pilot.app
        assert isinstance(app, WorkbenchApp)
        assert app.main.diff.shown == (2, 1)
        await press(pilot, "space")
        assert app.main.diff.shown == (2, 1)
        assert "f finds where #2 parts" in app.main.activity.text
        await press(pilot, "f")
        assert ("divergence", 2) in session.asked
        await press(pilot, "2", "end", "space")
        assert app.main.diff.shown == (6, 1)
        assert "f finds where they part" in app.main.activity.text
        await press(pilot, "home", "space", "space")
        assert app.main.diff.shown == (8, 1), "the reference has no difference to stay with"


async def test_the_header_says_that_it_fires() -> None:
    session = FakeSession()
    app = app_with(session)
    async with app.run_test(size=BIG) as pilot:
        await settle(pilot)
        session.gate = asyncio.Event()
        await press(pilot, "R")
        app.main.wiring.touch("status")
        await settle(pilot)
        line = app.screen._compositor.render_strips()[0].text
        assert "firing" in line
        assert "ready" not in line
        session.gate.set()
        await settle(pilot)
        assert "ready" in app.screen._compositor.render_strips()[0].text


async def test_modes_go_round_and_come_back() -> None:
    session = FakeSession()
    async with app_with(session).run_test(size=BIG) as pilot:
        await settle(pilot)
        await press(pilot, "e", "g", "g", "g", "k", "u", "e")
        changes = [asked for asked in session.asked if isinstance(asked, ModeChange)]
        assert [change.training for change in changes if change.training is not None] == [False, True]
        assert [change.grad for change in changes if change.grad] == ["no_grad", "inference_mode", "grad"]
        assert "undo" in session.asked
        assert session.state.modes is not None
        assert not session.state.modes.keep_outputs


async def test_the_selected_module_is_toggled_alone() -> None:
    session = FakeSession()
    async with app_with(session).run_test(size=BIG) as pilot:
        await settle(pilot)
        await press(pilot, "1", "down", "down", "t")
        assert ModeChange(module="drop", module_training=False) in session.asked


async def test_what_cannot_be_done_says_why_and_asks_nothing() -> None:
    session = FakeSession()
    async with app_with(session).run_test(size=BIG) as pilot:
        await settle(pilot)
        before = len(session.asked)
        await press(pilot, "d")
        app = pilot.app
        assert isinstance(app, WorkbenchApp)
        assert len(session.asked) == before
        assert "diff: nothing was fired yet" in app.main.activity.text


async def test_keys_answer_while_torch_is_loading() -> None:
    session = FakeSession(ready=False)
    async with app_with(session).run_test(size=BIG) as pilot:
        await settle(pilot)
        await press(pilot, "space")
        app = pilot.app
        assert isinstance(app, WorkbenchApp)
        assert "torch is still loading" in app.main.activity.text
        await press(pilot, "question_mark")
        assert isinstance(app.screen, TextCard)
        await press(pilot, "escape")
        session.become_ready()
        await settle(pilot)
        assert session.state.info is not None, "the model that was asked for opens when the worker is ready"


async def test_a_failure_is_a_card_and_its_traceback_one_key_further() -> None:
    session = FakeSession()
    async with app_with(session).run_test(size=BIG) as pilot:
        await settle(pilot)
        session.refuse = refusal("forward")
        await press(pilot, "space")
        card = pilot.app.screen
        assert isinstance(card, ErrorCard)
        details = card.query_one("#details")
        assert not details.display
        await press(pilot, "t")
        assert details.display
        await press(pilot, "escape")
        assert not isinstance(pilot.app.screen, ErrorCard)


async def test_weights_that_do_not_fit_show_the_whole_difference() -> None:
    session = FakeSession()
    session.refuse = error(
        "weights", "1 key does not fit.", "net.pt", "Give other --weights.", difference="missing: fc2.bias"
    )
    app = app_with(session)
    async with app.run_test(size=SMALL) as pilot:
        await settle(pilot)
        card = app.screen
        assert isinstance(card, ErrorCard)
        assert "fc2.bias" in str(card.query_one("#difference").render())
        assert "traceback" not in str(card.query_one("#card").border_subtitle)
        assert "o opens it with other weights" in str(card.query_one("#remedy").render())


def test_options_of_the_command_line_are_keys_in_the_app() -> None:
    remedy = "Give it --input 'x=float32[4,10]', or cast the model with --dtype float64."
    assert remedy_here(Failure("inputs", "", "", remedy)) == (
        "Give it x=float32[4,10], or cast the model with D (float64). o opens it with other inputs, "
        "N changes those of the bench."
    )
    assert remedy_here(Failure("model", "", "", "Mend line 3.")) == "Mend line 3."


async def test_a_cancelled_job_is_no_error() -> None:
    session = FakeSession()
    async with app_with(session).run_test(size=BIG) as pilot:
        await settle(pilot)
        session.refuse = refusal("cancelled")
        await press(pilot, "space")
        assert not isinstance(pilot.app.screen, ErrorCard)


async def test_a_mistake_of_our_own_is_a_card_and_the_session_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    session = FakeSession()
    async with app_with(session).run_test(size=BIG) as pilot:
        await settle(pilot)
        monkeypatch.setattr(session, "fire", None)
        await press(pilot, "space")
        card = pilot.app.screen
        assert isinstance(card, ErrorCard)
        assert card.failure.kind == "internal"
        assert "Traceback" in card.failure.details


async def test_a_repeat_asks_how_often() -> None:
    session = FakeSession()
    async with app_with(session).run_test(size=BIG) as pilot:
        await settle(pilot)
        await press(pilot, "r")
        assert isinstance(pilot.app.screen, AskText)
        await press(pilot, "0", "enter")
        assert isinstance(pilot.app.screen, AskText), "no run at all is no repeat"
        await press(pilot, "2", "5", "enter")
        assert ("fire", 25, False) in session.asked  # a repeat is of the same inputs


async def test_the_palette_finds_an_action_by_its_words() -> None:
    session = FakeSession()
    async with app_with(session).run_test(size=BIG) as pilot:
        await settle(pilot)
        await press(pilot, "ctrl+p")
        assert isinstance(pilot.app.screen, Palette)
        await press(pilot, *"zz")
        assert "no action is called so" in str(pilot.app.screen.query_one(OptionList).get_option_at_index(0).prompt)
        await press(pilot, "enter", "backspace", "backspace")
        await press(pilot, *"new inp", "enter")
        assert ("fire", 1, True) in session.asked


async def test_a_dead_worker_is_a_red_line_and_one_key_brings_it_back() -> None:
    session = FakeSession()
    async with app_with(session).run_test(size=BIG) as pilot:
        await settle(pilot)
        session.die("segmentation fault in native code")
        await settle(pilot)
        app = pilot.app
        assert isinstance(app, WorkbenchApp)
        assert "segmentation fault" in app.main.activity.text
        await press(pilot, "K")
        assert "recover" in session.asked
        assert session.state.engine == "ready"
        assert "are back" in app.main.activity.text


async def test_panes_become_tabs_on_a_small_terminal_and_any_can_be_maximised() -> None:
    session = FakeSession()
    async with app_with(session).run_test(size=SMALL) as pilot:
        await settle(pilot)
        app = pilot.app
        assert isinstance(app, WorkbenchApp)
        main = app.main
        assert main.tabs.display
        await press(pilot, "4")
        assert main.memory.display
        assert not main.model.display
        assert main.focused is main.memory
        await press(pilot, "m")
        assert main.memory.size.height > 12
        assert not main.runs.display
        await press(pilot, "escape")
        assert main.runs.display


async def test_too_small_a_terminal_is_asked_to_grow_and_recovers() -> None:
    session = FakeSession()
    async with app_with(session).run_test(size=(79, 24)) as pilot:
        await settle(pilot)
        app = pilot.app
        assert isinstance(app, WorkbenchApp)
        assert app.main.query_one("#too-small").display
        assert not app.main.board.display
        await pilot.resize_terminal(80, 24)
        await settle(pilot)
        assert app.main.board.display


async def test_without_a_model_the_open_screen_comes_up_and_opens_one() -> None:
    session = FakeSession()
    app = app_with(session, recipe=None)
    async with app.run_test(size=SMALL) as pilot:
        await settle(pilot)
        screen = app.screen
        assert isinstance(screen, OpenScreen)
        screen.query_one("#path", Input).value = "sample_models/story.py"
        await settle(pilot)
        assert screen.query_one(OptionList).option_count == 2
        session.refuse = refusal("model")
        await press(pilot, "enter")
        assert app.screen is screen, "a model that does not open leaves the screen as it is"
        assert "What happened." in str(screen.query_one("#open-status").render())
        await press(pilot, "down", "enter")
        assert app.screen is app.main
        assert session.state.recipe is not None
        assert session.state.recipe.target == "sample_models/story.py:make"


@pytest.mark.parametrize("name", ["make", "Nope", "Ne"])
async def test_a_name_that_is_typed_key_by_key_wins_over_the_list(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "m.py").touch()
    session = FakeSession()
    app = app_with(session, recipe=None)
    async with app.run_test(size=SMALL) as pilot:
        await settle(pilot)
        await press(pilot, *f"m.py:{name}")
        found = app.screen.query_one(OptionList)
        assert found.highlighted == {"make": 1, "Nope": None, "Ne": 0}[name]
        await press(pilot, "enter")
        assert session.asked[-1] == ("open", session.state.recipe)
        assert session.state.recipe is not None
        assert session.state.recipe.target == f"m.py:{name}"


async def test_a_class_that_is_chosen_in_the_list_stands_in_the_field(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "m.py").touch()
    session = FakeSession()
    app = app_with(session, recipe=None)
    async with app.run_test(size=SMALL) as pilot:
        await settle(pilot)
        line = app.screen.query_one("#path", Input)
        await press(pilot, *"m.py:X", "down")
        assert line.value == "m.py:Net"
        await press(pilot, "up", "tab", *"w=8", "tab", "m")
        assert line.value == "m.py:make", "paths of weights took the list, and not the choice"
        await press(pilot, "shift+tab", "shift+tab", "end", *(["backspace"] * 4), *"Net", "enter")
        assert session.state.recipe is not None
        assert session.state.recipe.target == "m.py:Net"


async def test_what_was_asked_for_and_did_not_open_is_there_to_be_mended() -> None:
    session = FakeSession()
    session.refuse = refusal("model")
    app = app_with(session, dataclasses.replace(RECIPE, target="bad.py:Net", weights="net.pt"))
    async with app.run_test(size=SMALL) as pilot:
        await settle(pilot)
        assert isinstance(app.screen, ErrorCard)
        await press(pilot, "escape", "o")
        assert app.screen.query_one("#path", Input).value == "bad.py:Net"
        assert app.screen.query_one("#weights", Input).value == "net.pt"
        session.refuse = refusal("model")
        await press(pilot, "end", "x", "enter", "escape", "o")
        assert app.screen.query_one("#path", Input).value == "bad.py:Netx"


async def test_an_export_asks_for_kind_and_place(tmp_path: object) -> None:
    session = FakeSession()
    app = app_with(session)
    async with app.run_test(size=BIG) as pilot:
        await settle(pilot)
        app.desk.export_folder = str(tmp_path)
        await press(pilot, "x", "up")
        line = app.screen.query_one(Input)
        assert line.value == f"{tmp_path}/net-trace"
        session.refuse = refusal("export")
        await press(pilot, "enter")
        requests = [one for one in session.asked if isinstance(one, Export)]
        assert [(one.kind, one.out) for one in requests] == [("trace", f"{tmp_path}/net-trace")]
        assert isinstance(app.screen, ErrorCard)


async def test_code_is_not_verified_without_a_yes(tmp_path: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    session = FakeSession()
    app = app_with(session)
    async with app.run_test(size=BIG) as pilot:
        await settle(pilot)
        await press(pilot, "v")
        app.screen.query_one(Input).value = str(tmp_path)
        await press(pilot, "enter")
        assert isinstance(app.screen, Confirm)
        assert "ab" * 32 in "".join(str(one.render()) for one in app.screen.query("Static"))
        await press(pilot, "n")
        assert not any(isinstance(one, Verify) for one in session.asked)
        assert "not trusted" in app.main.activity.text


async def test_choices_offer_what_is_there_and_send_what_was_chosen() -> None:
    session = FakeSession()
    async with app_with(session).run_test(size=BIG) as pilot:
        await settle(pilot)
        await press(pilot, "D")
        assert isinstance(pilot.app.screen, Choose)
        await press(pilot, "down", "down", "enter")
        assert ModeChange(dtype="float64") in session.asked


async def test_what_a_model_prints_cannot_reach_the_terminal_as_code() -> None:
    session = FakeSession()
    app = app_with(session)
    async with app.run_test(size=BIG) as pilot:
        await settle(pilot)
        session.tell(LogLines("bench", ("\x1b]52;c;AAAA\x07 [/x] [bold]",)))
        await press(pilot, "6", "m")
        strips = app.screen._compositor.render_strips()
        text = "\n".join(strip.text for strip in strips)
        assert "\\x1b]52;c;AAAA\\x07 [/x] [bold]" in text
        assert "\x1b" not in text


async def test_ctrl_c_cancels_first_and_leaves_then() -> None:
    session = FakeSession()
    app = app_with(session)
    async with app.run_test(size=BIG) as pilot:
        await settle(pilot)
        session.gate = asyncio.Event()
        await pilot.press("space")
        await pilot.pause()
        await pilot.press("ctrl+c")
        await pilot.pause()
        assert any(isinstance(one, tuple) and one[0] == "cancel" for one in session.asked)
        assert app.return_code is None
        await pilot.press("ctrl+c")
        await pilot.pause()
    assert app.return_code == Exit.INTERRUPTED


async def test_q_leaves_with_zero() -> None:
    app = app_with(FakeSession())
    async with app.run_test(size=BIG) as pilot:
        await settle(pilot)
        await pilot.press("q")
        await pilot.pause()
    assert app.return_code == Exit.OK


@pytest.mark.parametrize("theme", ["dark", "light", "ansi"])
@pytest.mark.parametrize("unicode", [True, False])
async def test_every_theme_draws_every_screen_and_ascii_is_ascii(theme: str, unicode: bool) -> None:
    session = FakeSession()
    app = app_with(session, theme=theme, unicode=unicode)
    async with app.run_test(size=SMALL) as pilot:
        await settle(pilot)
        await press(pilot, "space", "space")
        for keys in (("question_mark",), ("ctrl+p",), ("x",), ("o",), ("c",), ("D",)):
            await press(pilot, *keys)
            strips = app.screen._compositor.render_strips()
            text = "".join(strip.text for strip in strips)
            assert text.strip()
            if not unicode:
                assert text.isascii(), [char for char in text if not char.isascii()]
            await press(pilot, "escape")


async def test_each_key_of_a_burst_acts_on_what_the_former_left() -> None:
    session = FakeSession()
    async with app_with(session).run_test(size=BIG) as pilot:
        await settle(pilot)
        burst(pilot.app, "1", "down", "t", "down", "t", "up", "t")
        await settle(pilot)
        asked = [one.module for one in session.asked if isinstance(one, ModeChange) and one.module]
        assert asked == ["fc", "drop", "fc"]


@pytest.mark.parametrize("size", [BIG, SMALL])
async def test_a_pane_that_was_hidden_has_the_next_key_of_a_burst(size: tuple[int, int]) -> None:
    session = FakeSession()
    app = app_with(session)
    async with app.run_test(size=size) as pilot:
        await settle(pilot)
        await press(pilot, "4")
        burst(app, "1", "down", "down", "t")
        await settle(pilot)
        assert ModeChange(module="drop", module_training=False) in session.asked
        assert app.main.focused is app.main.model


async def test_switches_of_a_burst_are_turned_one_after_the_other_and_a_fire_comes_after_them() -> None:
    session = FakeSession()
    order: list[object] = []
    change = session.change

    async def slow(wish: ModeChange) -> ModesNow:
        await asyncio.sleep(0.02)
        order.append(wish.grad or wish.training)
        return await change(wish)

    session.change = slow  # type: ignore[method-assign]
    async with app_with(session).run_test(size=BIG) as pilot:
        await settle(pilot)
        burst(pilot.app, "e", "e", "g", "g", "space")
        await until(lambda: session.state.rows)
        assert order == [False, True, "no_grad", "inference_mode"]
        assert session.state.rows[max(session.state.rows)].grad == "inference_mode"


async def test_esc_lets_nothing_begin_that_waited_for_its_turn() -> None:
    session = FakeSession()
    change, gate = session.change, asyncio.Event()

    async def held(wish: ModeChange) -> ModesNow:
        await gate.wait()
        return await change(wish)

    session.change = held  # type: ignore[method-assign]
    async with app_with(session).run_test(size=BIG) as pilot:
        await settle(pilot)
        burst(pilot.app, "e", "space", "escape")
        await settle(pilot)
        gate.set()
        await settle(pilot)
        assert not session.state.rows
        await press(pilot, "space")
        assert session.state.rows


@pytest.mark.parametrize("pane", "234567")
async def test_the_next_odd_module_is_found_from_every_pane(pane: str) -> None:
    session = FakeSession()
    app = app_with(session)
    async with app.run_test(size=SMALL) as pilot:
        await settle(pilot)
        await press(pilot, "1", "down", "down", "t", "home", pane)
        burst(app, "right_square_bracket", "t")
        await settle(pilot)
        assert ModeChange(module="drop", module_training=True) in session.asked
        assert app.main.model.display


def burst(app: App[object], *keys: str) -> None:
    """Keys that arrive in one read: nothing is answered in between."""
    for key in keys:
        character = {"space": " ", "right_square_bracket": "]"}.get(key, key if len(key) == 1 else None)
        app.post_message(events.Key(key, character))


async def until(holds: Callable[[], object]) -> None:
    async with asyncio.timeout(20):
        while not holds():
            await asyncio.sleep(0.01)
