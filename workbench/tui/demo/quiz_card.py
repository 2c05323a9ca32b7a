"""The quiz: a question, choices by letter. The answer is the letter."""

from __future__ import annotations

from textual import events
from textual.app import ComposeResult

from workbench.tui.screens.dialog import Dialog, words

from .scene import Quiz


class QuizCard(Dialog[str]):
    """Waits for one of its letters."""

    heading = "What will happen?"
    hint = "press a letter"

    def __init__(self, quiz: Quiz) -> None:
        super().__init__()
        self._quiz = quiz

    def content(self) -> ComposeResult:
        yield words(self._quiz.question, "gap strong")
        for letter, answer in self._quiz.choices:
            yield words(f"  {letter}   {answer}", "gap")

    def on_key(self, event: events.Key) -> None:
        if event.character in {letter for letter, _ in self._quiz.choices}:
            event.stop()
            self.dismiss(event.character)
