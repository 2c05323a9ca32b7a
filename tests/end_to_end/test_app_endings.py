"""Every ending in a real terminal: it is restored, the exit code is right, and no process is left."""

from __future__ import annotations

import os
import re
import signal
import sys
from collections.abc import Callable

import psutil
import pytest

from .terminal import Terminal, alive, assert_all_gone

STORY = ("sample_models/story.py:Net", "--weights", "sample_models/story.safetensors")

Open = Callable[..., Terminal]


def ready(terminal: Terminal) -> Terminal:
    terminal.wait_for("space fires it", 60)
    return terminal


def worker_of(terminal: Terminal) -> psutil.Process:
    """The bench worker."""
    return next(one for one in terminal.family() if any("boot.py" in word for word in one.cmdline()))


@pytest.mark.parametrize(("key", "code"), [("q", 0), ("ctrl+q", 0), ("ctrl+c", 130)], ids=["q", "ctrl+q", "ctrl+c"])
def test_keys_that_leave(workbench: Open, key: str, code: int) -> None:
    terminal = ready(workbench(*STORY))
    family = terminal.family()
    terminal.send(key)
    assert terminal.wait_exit() == code
    terminal.assert_restored()
    assert_all_gone(family)


def test_q_leaves_while_torch_is_loading(workbench: Open) -> None:
    terminal = workbench(*STORY)
    terminal.wait_for("q quit")
    family = terminal.family()
    terminal.send("q")
    assert terminal.wait_exit() == 0
    terminal.assert_restored()
    assert_all_gone(family)


def test_ctrl_c_cancels_what_runs_and_leaves_when_pressed_again(workbench: Open) -> None:
    terminal = ready(workbench(*STORY))
    terminal.send("R")
    terminal.wait_for("esc stops")
    terminal.send("ctrl+c")
    terminal.wait_gone("esc stops")
    terminal.send("ctrl+c")
    assert terminal.wait_exit() == 130
    terminal.assert_restored()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP], ids=lambda one: one.name)
def test_signals(workbench: Open, number: signal.Signals) -> None:
    terminal = ready(workbench(*STORY))
    terminal.send("R")
    terminal.wait_for("esc stops")
    family = terminal.family()
    terminal.signal(number)
    assert terminal.wait_exit() == 130
    terminal.assert_restored()
    assert_all_gone(family)


def test_a_lost_connection_leaves_no_process(workbench: Open) -> None:
    terminal = ready(workbench(*STORY))
    family = terminal.family()
    terminal.hang_up()
    assert_all_gone(family)


def test_a_killed_face_leaves_no_process(workbench: Open) -> None:
    terminal = ready(workbench(*STORY))
    family = terminal.family()
    terminal.signal(signal.SIGKILL)
    terminal.wait_exit()
    assert_all_gone(family)


def test_a_killed_worker_is_told_with_its_cause_and_one_key_brings_everything_back(workbench: Open) -> None:
    terminal = ready(workbench(*STORY, "--mode", "drop1=eval", "--grad", "no_grad"))
    terminal.send("space")
    terminal.wait_for("#1 is the reference")
    worker = worker_of(terminal)
    os.kill(worker.pid, signal.SIGKILL)
    terminal.wait_for("the worker died")
    terminal.wait_for("K starts a fresh one")
    terminal.send("space")
    terminal.wait_for("the worker is gone")
    terminal.send("K")
    terminal.wait_for("are back", 60)
    terminal.wait_for(re.compile(r"mix +no_grad"))
    assert not alive(worker)
    terminal.send("space")
    terminal.wait_for("#1 is the reference")


def supervisor_of(terminal: Terminal) -> psutil.Process:
    return next(one for one in terminal.family() if "workbench.supervisor" in one.cmdline())


def test_an_engine_that_is_killed_while_its_worker_starts_is_one_truth_and_one_key_brings_another(
    workbench: Open,
) -> None:
    terminal = ready(workbench(*STORY, "--grad", "no_grad", rows=24, columns=80))
    os.kill(worker_of(terminal).pid, signal.SIGKILL)
    terminal.wait_for("K starts a fresh one · the worker died")
    terminal.send("K")
    terminal.wait_for("◌ torch is loading")
    os.kill(supervisor_of(terminal).pid, signal.SIGKILL)
    terminal.wait_for("■ engine gone")
    terminal.wait_for("K starts a new one · The engine is gone")
    assert "loading" not in terminal.text
    terminal.send("space")
    terminal.wait_for("space fire: the engine is gone; K starts a new one")
    terminal.send("K")
    terminal.wait_for("are back", 60)
    terminal.wait_for("● ready")
    terminal.send("space")
    terminal.wait_for("#1 is the reference")
    family = terminal.family()
    terminal.send("q")
    assert terminal.wait_exit() == 0
    terminal.assert_restored()
    assert_all_gone(family)


def test_an_engine_that_is_killed_while_it_fires_ends_the_row(workbench: Open) -> None:
    terminal = ready(workbench(*STORY))
    terminal.send("R")
    terminal.wait_for("esc stops")
    terminal.wait_for("◌1")
    os.kill(supervisor_of(terminal).pid, signal.SIGKILL)
    terminal.wait_for("■ engine gone")
    terminal.wait_gone("◌1")
    terminal.send("o")
    terminal.wait_for("o open: the engine is gone")
    terminal.send("K")
    terminal.wait_for("are back", 60)


def test_a_model_that_kills_its_process_is_an_event_and_not_the_end(workbench: Open) -> None:
    terminal = ready(workbench("sample_models/crashes.py:Crashes", "--kwargs", '{"after": 0}'))
    terminal.send("space")
    terminal.wait_for("the worker died during Fire: segmentation fault")
    terminal.send("K")
    terminal.wait_for("are back", 60)
    terminal.send("q")
    assert terminal.wait_exit() == 0
    terminal.assert_restored()


def test_an_endless_forward_is_cancelled_by_esc_and_the_model_stays(workbench: Open) -> None:
    terminal = ready(workbench("sample_models/crashes.py:Crashes", "--kwargs", '{"how": "loop", "after": 1}'))
    terminal.send("space")
    terminal.wait_for("#1 is the reference")
    terminal.send("space")
    terminal.wait_for("esc stops")
    terminal.send("escape")
    terminal.wait_for("cancelled")
    terminal.wait_for("● ready")
    assert "the worker" not in terminal.text


def test_a_forward_that_holds_everything_is_named_and_killed_by_a_key(workbench: Open) -> None:
    terminal = ready(workbench("sample_models/crashes.py:Crashes", "--kwargs", '{"how": "native", "after": 0}'))
    terminal.send("space")
    terminal.wait_for("busy in native code", 40)
    terminal.send("K")
    terminal.wait_for("the worker was ended", 40)
    terminal.send("K")
    terminal.wait_for("are back", 60)


def test_without_a_terminal_there_is_a_plain_refusal(workbench: Open) -> None:
    terminal = workbench(*STORY, env={"TERM": "dumb"})
    assert terminal.wait_exit() == 2
    assert "terminal" in terminal.text


CRASHING = """
import sys
from workbench.cli.entry import main
from workbench.tui import main_screen

def crash(screen, action):
    raise ZeroDivisionError("a mistake of our own")

main_screen.MainScreen.action_do = crash
sys.argv = ["workbench", "sample_models/story.py:Net"]
main()
"""


def test_a_crash_of_the_app_is_exit_70_in_a_restored_terminal_with_no_process_left(open_terminal: Open) -> None:
    terminal = ready(open_terminal([sys.executable, "-c", CRASHING], rows=24, columns=80))
    family = terminal.family()
    terminal.send("space")
    assert terminal.wait_exit() == 70
    terminal.assert_restored()
    assert_all_gone(family)
    assert "a mistake of our own" in terminal.text
    assert "Traceback" not in terminal.text


def test_a_signal_while_the_splash_is_up_gives_the_screen_back(workbench: Open) -> None:
    terminal = workbench()
    terminal.wait_for("opening")
    terminal.signal(signal.SIGTERM)
    assert terminal.wait_exit() == 130
    terminal.assert_restored()


def test_short_help_shows_no_splash(workbench: Open) -> None:
    terminal = workbench("-h")
    assert terminal.wait_exit() == 0
    assert "usage: workbench" in terminal.text
    terminal.assert_restored()
