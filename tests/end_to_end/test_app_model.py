"""The model on the bench in a real terminal: edited and reloaded, cast and restored, moved where it cannot go."""

from __future__ import annotations

import base64
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from .terminal import ROOT, Terminal

Open = Callable[..., Terminal]


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A copy of the story's model to edit."""
    return Path(shutil.copy(ROOT / "sample_models" / "story.py", tmp_path / "story.py"))


@pytest.fixture
def terminal(workbench: Open, model: Path) -> Terminal:
    """That model in eval mode, fired once."""
    terminal = workbench(f"{model}:Net", "--mode", "eval", rows=40, columns=120)
    terminal.wait_for("space fires it", 60)
    terminal.send("space")
    terminal.wait_for("#1 is the reference")
    return terminal


def test_edited_source_is_read_again_and_fired_against_the_reference(terminal: Terminal, model: Path) -> None:
    source = model.read_text()
    terminal.send("l")
    terminal.wait_for("#2 is identical to #1")
    model.write_text(source.replace("return self.head(x)", "return self.head(x) * 2"))
    terminal.send("l")
    terminal.wait_for("#3 is not what #1 was")
    model.write_text(source + "\nthis is no python\n")
    terminal.send("l")
    terminal.wait_for("is not Python")
    terminal.wait_for("story.py:")
    terminal.send("escape")
    terminal.wait_gone("esc closes")
    terminal.send("space")
    terminal.wait_for("#4 is not what #1 was")  # the model that was there is still there


def test_a_cast_says_what_it_cost_and_the_checkpoint_comes_back(terminal: Terminal) -> None:
    terminal.send("D")
    terminal.wait_for("Cast floating point")
    terminal.send("down", "down", "down", "enter")
    terminal.wait_for("rounded to float16")
    terminal.send("u")
    terminal.wait_gone("float16   cpu")
    terminal.send("space")
    terminal.wait_for("#2 is not what #1 was")
    terminal.send("z")
    terminal.wait_for("those of the checkpoint again")
    terminal.send("space")
    terminal.wait_for("#3 is identical to #1")


def test_a_device_that_is_not_there_is_a_card_and_the_model_stays(terminal: Terminal) -> None:
    terminal.send("C")
    terminal.wait_for("Move the model to")
    terminal.send("down", "down", "enter")  # mps, which no test machine with this screen has together with CUDA
    terminal.wait_for("That device is not here")
    terminal.send("escape")
    terminal.wait_gone("That device is not here")
    terminal.send("space")
    terminal.wait_for("#2 is identical to #1")


def test_the_state_is_a_command(terminal: Terminal, model: Path) -> None:
    terminal.send("c")
    terminal.wait_for("As a command")
    copied = re.search(rb"\x1b\]52;c;([A-Za-z0-9+/=]+)", bytes(terminal.raw))
    assert copied is not None, "the clipboard is asked for"
    assert base64.b64decode(copied[1]).decode() == f"workbench run {model}:Net --mode eval --repeat 1"


def test_a_missing_file_is_a_card_and_another_model_can_be_opened(workbench: Open) -> None:
    terminal = workbench("nowhere.py:Net", rows=24, columns=80)
    terminal.wait_for("nowhere.py", 60)
    terminal.wait_for("esc closes", 60)
    terminal.send("escape")
    terminal.wait_gone("esc closes")
    terminal.send("o")
    terminal.wait_for("Open a model")


def test_the_name_that_is_typed_is_the_one_that_opens(workbench: Open, tmp_path: Path) -> None:
    source = "from torch import nn\n\n\n" + "\n\n".join(
        f"class {name}(nn.Linear):\n    def __init__(self) -> None:\n        super().__init__(3, 2)\n"
        for name in ("Ok", "Two")
    )
    (tmp_path / "m.py").write_text(source)
    terminal = workbench(rows=24, columns=80, directory=tmp_path)
    terminal.wait_for("Open a model", 60)
    terminal.wait_for("ready", 60)
    for end in range(1, len(name := "m.py:Tw") + 1):  # each key is answered before the next is pressed
        terminal.send(name[end - 1])
        terminal.wait_for(name[:end])
    terminal.wait_for("class, line")
    terminal.send("enter")
    terminal.wait_for("Did you mean 'Two'?")
    terminal.send("o", "enter")
    terminal.wait_for("Two: loaded", 60)
