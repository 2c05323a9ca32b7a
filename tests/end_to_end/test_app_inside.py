"""Looking inside in a real terminal: a breakpoint opens the console, the app lives on, and every ending is clean."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from .terminal import Terminal, assert_all_gone

Open = Callable[..., Terminal]

SOURCE = """
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(10, 4)

    def forward(self, x):
        hidden = self.fc(x)
        breakpoint()
        return hidden.relu()
"""


@pytest.fixture
def model(tmp_path: Path) -> str:
    (tmp_path / "net.py").write_text(SOURCE)
    return f"{tmp_path / 'net.py'}:Net"


def paused(workbench: Open, model: str, **size: int) -> Terminal:
    terminal = workbench(model, **size)
    terminal.wait_for("space fires it", 60)
    terminal.send("space")
    terminal.wait_for("paused at net.py:12", 30)
    terminal.wait_for("net.py:12>")
    return terminal


def test_a_breakpoint_opens_the_console_and_the_run_goes_on(workbench: Open, model: str) -> None:
    terminal = paused(workbench, model, rows=24, columns=80)
    terminal.type("hidden.shape\n")
    terminal.wait_for("torch.Size([4, 4])")
    terminal.type("c\n")
    terminal.wait_for("#1 is the reference")
    terminal.wait_for("paused for")
    terminal.send("q")
    assert terminal.wait_exit() == 0


def test_quitting_while_a_run_is_paused_restores_the_terminal(workbench: Open, model: str) -> None:
    terminal = paused(workbench, model, rows=40, columns=120)
    family = terminal.family()
    terminal.send("escape")
    terminal.wait_for("esc aborts it")
    terminal.send("q")
    assert terminal.wait_exit() == 0
    terminal.assert_restored()
    assert_all_gone(family)


def test_esc_aborts_a_paused_run_and_a_dead_worker_comes_back(workbench: Open, model: str) -> None:
    terminal = paused(workbench, model, rows=40, columns=120)
    terminal.send("escape")
    terminal.wait_for("esc aborts it")
    terminal.send("escape")
    terminal.wait_for("Aborted at net.py:12")
    terminal.send("space")
    terminal.wait_for("net.py:12>")
    terminal.type("import os; os._exit(3)\n")
    terminal.wait_for("the worker is gone: it called os._exit(3)")
    terminal.send("escape")
    terminal.wait_for("■ dead")
    terminal.send("K")
    terminal.wait_for("are back", 60)


def test_a_paused_worker_is_killed_with_one_key(workbench: Open, model: str) -> None:
    terminal = paused(workbench, model, rows=40, columns=120)
    terminal.send("escape")
    terminal.wait_for("esc aborts it")
    terminal.send("K")
    terminal.wait_for("the worker was ended")


def test_a_module_and_the_console_on_the_bench(workbench: Open) -> None:
    terminal = workbench("sample_models/story.py:Net", rows=24, columns=80)
    terminal.wait_for("space fires it", 60)
    terminal.send("space")
    terminal.wait_for("#1 is the reference")
    terminal.send("I")
    terminal.wait_for("run #1 replayed", 30)
    terminal.send("tab")
    terminal.wait_for("def forward")
    terminal.send("escape")
    terminal.wait_for("space fire")
    terminal.send(":")
    terminal.wait_for(">>>")
    terminal.type("model.eval(); None\n")
    terminal.wait_for("changed: the whole model: eval mode")
    terminal.type("import time; time.sleep(60)\n")
    terminal.wait_for("esc cancels the line")
    terminal.send("escape")
    terminal.wait_for("interrupted")
    terminal.send("escape")
    terminal.wait_for("eval   grad")
