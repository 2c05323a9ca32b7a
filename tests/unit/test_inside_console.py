"""Typed code without a worker: what it answers, what its errors show, what it may be completed to, what it changed."""

from __future__ import annotations

import sys
from types import FrameType
from typing import Any

import pytest
import torch
from torch import nn

from workbench.protocol.inside import Complete, Evaluate, Evaluated
from workbench.tui.transcript import Transcript, wants_more
from workbench.worker.inside import running
from workbench.worker.inside.changes import Before
from workbench.worker.inside.completing import completions
from workbench.worker.inside.frames import FrameConsole
from workbench.worker.inside.running import compiled, names_in, run

from .run_bench import Drop, Sent


def typed(text: str, **names: Any) -> running.Outcome:
    statements, expression, wrong = compiled(text)
    assert not wrong
    return run(statements, expression, names)


# one entry


def test_the_last_expression_is_the_value_and_none_is_silent() -> None:
    assert typed("a = 2\na * 3").output == "6"
    assert typed("None").output == ""
    assert typed("a = 1").output == ""
    assert typed("{'b': 1, 'a': 2}").output == "{'b': 1, 'a': 2}"


def test_functions_and_comprehensions_see_what_was_typed() -> None:
    names: dict[str, Any] = {}
    run(*compiled("k = 2\ndef times(n):\n    return k * n")[:2], names)
    assert run(*compiled("[times(n) for n in range(3)]")[:2], names).output == "[0, 2, 4]"


def test_output_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "MOST_OUTPUT", 50)
    found = typed("print('x' * 40)\n'y' * 100").output
    assert found.startswith("x" * 40)
    assert "more characters" in found
    assert len(found) < 100


def test_a_repr_that_raises_is_the_user_s_error() -> None:
    class Odd:
        def __repr__(self) -> str:
            raise ValueError("no words")

    assert "no words" in typed("odd", odd=Odd()).error


def test_a_traceback_quotes_what_was_typed_and_leaves_our_frames_out() -> None:
    error = typed("def fails():\n    return 1 / 0\nfails()").error
    assert "return 1 / 0" in error
    assert "ZeroDivisionError" in error
    assert "running.py" not in error


def test_what_is_no_python_says_where() -> None:
    statements, expression, wrong = compiled("x = = 1")
    assert statements is None
    assert expression is None
    assert "SyntaxError" in wrong
    assert compiled("\0")[2]


def test_names_inside_functions_are_names() -> None:
    statements, expression, _ = compiled("f = lambda: y\nf() + z")
    assert {"y", "z"} <= names_in(statements, expression)


# a frame


def paused(b: int = 1, c: int = 2) -> tuple[FrameConsole, list[Any]]:
    """A console in a frame with locals, one of them seen by a function inside."""
    seen: list[Any] = []
    cell = 5

    def inner() -> int:
        return cell

    def stop() -> FrameType:
        return sys._getframe(1)

    console = FrameConsole(stop())
    seen.append((b, c, cell, inner()))
    return console, seen


def line(console: FrameConsole, text: str) -> Evaluated:
    return console.evaluate(Evaluate(text, 1), Sent().job)


def inside(*texts: str) -> tuple[list[str], tuple[int, int, int]]:
    """Lines typed while the function below stands still, and what it went on with."""
    answers: list[str] = []

    def forward(value: int) -> tuple[int, int, int]:
        width, cell = value * 2, 7

        def uses() -> int:
            return cell

        console = FrameConsole(sys._getframe())
        answers.extend(line(console, text).output or line(console, text).error for text in texts)
        return value, width, uses()

    return answers, forward(3)


def test_locals_are_read_and_set() -> None:
    answers, went_on = inside("width + value", "width = 40", "cell = 8", "[width for _ in range(2)]")
    assert answers[0] == "9"
    assert answers[3] == "[40, 40]"
    assert went_on == (3, 40, 8)


def test_names_of_ones_own_stay_at_the_console() -> None:
    answers, went_on = inside("mine = 1", "mine + 1", "'mine' in locals()")
    assert answers[1] == "2"
    assert went_on == (3, 6, 7)


def test_a_variable_goes_before_a_short_word_but_for_c_and_q() -> None:
    console, _ = paused()
    assert line(console, "b").output == "1"
    assert line(console, "!c").output == "2"
    assert line(console, "p c").output == "2"
    assert not console.verdict
    assert line(console, "c").ended
    assert console.verdict == "continue"
    console, _ = paused()
    assert line(console, "q").ended
    assert console.verdict == "abort"


def test_frames_are_walked() -> None:
    console, _ = paused()
    here = console.place
    assert "test_inside_console.py" in here
    line(console, "up")
    assert console.place != here
    line(console, "down")
    assert console.place == here
    assert "seen" in console.complete(Complete("se", 1), Sent().job).words


# completion


def test_completion_of_names_attributes_and_module_paths() -> None:
    model = Drop()
    assert completions("mod", {"model": model}).words == ("model",)
    found = completions("print(model.fc1.wei", {"model": model})
    assert (found.start, found.words) == (16, ("weight",))
    assert completions("act['fc", {}, ["fc1", "fc2", "drop"]).words == ("fc1", "fc2")
    assert completions("nothing.here.", {}).words == ()
    assert "_modules" not in completions("model.", {"model": model}).words
    assert "_modules" in completions("model._mod", {"model": model}).words


# what a line changed


def test_every_kind_of_change_is_told() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2), nn.Dropout(0.5))
    before = Before(model)
    assert before.changed() == ()
    model[0].weight.data.mul_(2)
    model[0].bias = nn.Parameter(torch.ones(2))
    model[1].running_mean.add_(1)
    model[2].eval()
    model[1].weight.requires_grad_(False)
    words = before.changed()
    assert "0.weight: values" in words
    assert any(word.startswith("0.bias: another tensor") for word in words)
    assert "1.running_mean: values" in words
    assert "2: eval mode" in words
    assert "1.weight: requires_grad off" in words
    assert not before.rebuilt()


def test_a_change_past_torch_s_counting_is_counted() -> None:
    model = nn.Linear(2, 2)
    before = Before(model)
    version = model.weight._version
    model.weight.data.mul_(2)
    assert model.weight._version == version, "this is the trap"
    before.changed()
    assert model.weight._version > version


def test_nan_and_a_look_are_no_change_and_a_cast_is_one() -> None:
    model = nn.Linear(2, 2)
    with torch.no_grad():
        model.weight.fill_(float("nan"))
    before = Before(model)
    model(torch.ones(1, 2)).sum().backward()
    assert before.changed() == ()
    model.half()
    assert any("float16" in word for word in before.changed())


def test_modules_that_come_and_go() -> None:
    model = Drop()
    before = Before(model)
    model.extra = nn.ReLU()
    del model.drop
    assert before.rebuilt()
    words = before.changed()
    assert "extra: a new ReLU" in words
    assert "drop: gone" in words


# the face's side


@pytest.mark.parametrize(
    ("text", "more"),
    [("1 + 1", False), ("for i in x:", True), ("for i in x:\n    i", True), ("for i in x:\n    i\n", False),
     ("f(1,", True), ("x = = 1", False), ("w", False), ("'''a", True)],
)  # fmt: skip
def test_an_entry_that_is_not_finished_wants_more(text: str, more: bool) -> None:
    assert wants_more(text) is more


def test_a_transcript_is_bounded_and_remembers_what_was_typed() -> None:
    said = Transcript()
    looked: list[int] = []
    said.changed = lambda: looked.append(1)
    said.typed(">>>", "for i in x:\n    i\n")
    said.typed(">>>", "1")
    said.typed(">>>", "1")
    assert list(said.history) == ["for i in x:\n    i\n", "1"]
    assert [text for text, _ in said.lines][:2] == [">>> for i in x:", "  …     i"]
    assert looked
    for _ in range(6000):
        said.add("a\nb")
    assert len(said.lines) == 5000
    said.clear()
    assert not said.lines
