"""Small questions: a line of text, one of a list, yes or no."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.widgets import Input, OptionList
from textual.widgets.option_list import Option

from .dialog import Dialog, field, set_words, words


def whole_number(text: str, least: int, most: int) -> int | None:
    """The number that a person typed, if it is one from `least` to `most`; None for anything else."""
    digits = text.strip()
    if not (digits.isascii() and digits.isdecimal() and len(digits) <= len(str(most))):
        return None
    return int(digits) if least <= int(digits) <= most else None


def seconds_typed(text: str) -> float | None:
    """Seconds that a person typed, 0 or more; None for anything else."""
    try:
        seconds = float(text)
    except ValueError:
        return None
    return seconds if 0 <= seconds < float("inf") else None


class AskText(Dialog[str]):
    """One line; `wrong` says what is wrong with it, or "" when it will do. The answer is the line."""

    hint = "enter accepts · esc closes"

    def __init__(self, heading: str, question: str, value: str = "", wrong: Callable[[str], str] | None = None) -> None:
        super().__init__()
        self.heading = heading
        self._question, self._value, self._wrong = question, value, wrong

    def content(self) -> ComposeResult:
        yield words(self._question)
        line = field(self._value, id="line")
        line.add_class("gap")
        yield line
        yield words("", "bad", id="problem")

    @on(Input.Submitted)
    def _accept(self, event: Input.Submitted) -> None:
        problem = self._wrong(event.value) if self._wrong else ""
        if problem:
            set_words(self.query_one("#problem"), problem)
        else:
            self.dismiss(event.value)


class Choose(Dialog[str]):
    """One of several; the answer is its value. A choice is (value, what to say about it)."""

    hint = "enter chooses · esc closes"

    def __init__(self, heading: str, question: str, choices: Sequence[tuple[str, str]], current: str = "") -> None:
        super().__init__()
        self.heading = heading
        self._question, self._choices, self._current = question, choices, current

    def content(self) -> ComposeResult:
        yield words(self._question)
        width = max(len(value) for value, _ in self._choices) + 3
        options = [Option(Content(f"{value:{width}}{about}"), id=f"choice-{n}") for n, (value, about) in self._each()]
        listing = OptionList(*options, classes="gap", id="choices", compact=True)
        values = [value for value, _ in self._choices]
        listing.highlighted = values.index(self._current) if self._current in values else 0
        yield listing

    def _each(self) -> list[tuple[int, tuple[str, str]]]:
        return list(enumerate(self._choices))

    @on(OptionList.OptionSelected)
    def _chosen(self, event: OptionList.OptionSelected) -> None:
        self.dismiss(self._choices[event.option_index][0])


class Confirm(Dialog[bool]):
    """A question that wants an explicit `y`; anything else is no."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y", "answer(True)", "yes", show=False),
        Binding("n", "answer(False)", "no", show=False),
    ]

    hint = "y yes · n no"

    def __init__(self, heading: str, paragraphs: Sequence[str], danger: bool = True) -> None:
        super().__init__(classes="-danger" if danger else "")
        self.heading = heading
        self._paragraphs = paragraphs

    def content(self) -> ComposeResult:
        for paragraph in self._paragraphs:
            yield words(paragraph, "gap")

    def action_answer(self, yes: bool) -> None:
        self.dismiss(yes)
