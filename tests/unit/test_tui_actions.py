"""The registry of actions: one key one meaning, every action done by somebody, documented, and shown where it fits."""

from __future__ import annotations

import pytest

from workbench.client.state import State
from workbench.protocol.messages import WorkerDied
from workbench.protocol.model import Modes, Recipe
from workbench.tui import actions
from workbench.tui.commands.table import AT_ONCE, COMMANDS
from workbench.tui.keymap import bindings, textual_key

from .tui_fake import INFO


def test_every_action_has_its_command_and_every_command_its_action() -> None:
    assert set(COMMANDS) | set(AT_ONCE) == set(actions.BY_ID)


def test_a_key_means_one_thing() -> None:
    keys = [key for action in actions.ACTIONS for key in action.keys]
    assert len(keys) == len(set(keys))
    assert len(bindings()) == len(keys)


def test_every_action_says_what_it_does_in_a_sentence() -> None:
    for action in actions.ACTIONS:
        assert action.group in actions.GROUPS
        assert action.help.endswith(".")
        assert action.help[0].isupper()


def test_the_table_for_the_readme_has_every_key_and_every_help() -> None:
    table = actions.table()
    for action in actions.ACTIONS:
        assert action.help in table
        assert all(f"`{key}`" in table for key in action.keys)


@pytest.mark.parametrize("width", [40, 80, 120, 300])
def test_the_footer_keeps_help_and_quit_and_never_outgrows_its_line(width: int) -> None:
    chosen = actions.fitting(width)
    assert {"palette", "help", "quit"} <= {action.id for action in chosen}
    assert sum(len(action.keys[0]) + len(action.label) + 3 for action in chosen) <= width


def test_a_wider_footer_shows_more() -> None:
    assert len(actions.fitting(60)) < len(actions.fitting(120)) <= len(actions.footer())


def test_keys_have_textual_s_names() -> None:
    assert textual_key("?") == "question_mark"
    assert textual_key("esc") == "escape"
    assert textual_key("ctrl+p") == "ctrl+p"


def test_why_an_action_cannot_be_done_follows_the_state() -> None:
    state = State()
    fire, diff, undo = actions.BY_ID["fire"], actions.BY_ID["diff"], actions.BY_ID["undo"]
    assert "loading" in fire.when(state)
    state.engine = "ready"
    assert "o opens" in fire.when(state)
    state.recipe, state.info, state.modes = Recipe("m.py:Net"), INFO, Modes()
    assert fire.when(state) == ""
    assert "space" in diff.when(state)
    assert "no mode was changed" in undo.when(state)
    state.undo.append(Modes())
    assert undo.when(state) == ""
    state.engine = "dead"
    state.died = WorkerDied("bench", 1, "segmentation fault", -11, "", (), "Fire", False)
    assert "K starts" in fire.when(state)
