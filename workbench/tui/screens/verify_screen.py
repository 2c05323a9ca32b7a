"""What is to be proven, and with what besides."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal
from textual.widgets import Input

from workbench.client.outside import parse_metrics, parse_runner
from workbench.protocol.failures import WorkbenchError
from workbench.protocol.outside import INPUTS, OUTPUTS, RUNNER_SECONDS, Metric, Runner
from workbench.protocol.requests import SEARCH_SECONDS

from .ask import seconds_typed
from .dialog import NEXT_FIELD, Dialog, field, set_words, words

FIELDS = {
    "line": ("path", "a bundle, or an artifact that somebody else made"),
    "runner": ("or a command", f"CMD {INPUTS} {OUTPUTS}, two .safetensors files"),
    "metric": ("own number", "metrics.py:function, metrics.py:function<=0.01"),
    "search": ("search, s", "seconds to look for a counterexample; 0: none"),
}


def no_path(text: str) -> str:
    """What is wrong with a path; empty when something is there."""
    return "" if text and os.path.exists(os.path.expanduser(text)) else "Nothing is there."


@dataclass(frozen=True)
class Asked:
    """The answer of the verify screen: a path or a runner."""

    path: str
    runner: Runner | None
    metrics: tuple[Metric, ...]
    search: float


class VerifyScreen(Dialog[Asked]):
    """A bundle brings its own cases; a file or a command is proven against the model on the bench."""

    BINDINGS: ClassVar[list[BindingType]] = [*NEXT_FIELD]

    DEFAULT_CSS = """
    VerifyScreen {
        & .label { width: 15; color: $foreground-muted; }
        & Horizontal { height: 1; width: 100%; }
        & Horizontal > Input { width: 1fr; }
    }
    """

    heading = "Verify"
    hint = "tab next field · enter proves · esc closes"

    def __init__(self, path: str, model: str) -> None:
        """path: suggested. model: name of the one on the bench, empty for none."""
        super().__init__()
        self._path, self._model = path, model

    def content(self) -> ComposeResult:
        values = {"line": self._path, "search": f"{SEARCH_SECONDS:g}"}
        for name, (label, about) in FIELDS.items():
            with Horizontal():
                yield words(label, "label")
                yield field(values.get(name, ""), about, id=name)
        against = f"{self._model}, the model on the bench" if self._model else "a model on the bench, and none is open"
        yield words(f"A bundle brings its own cases. A file or a command is proven against {against}.", "gap dim")
        yield words("", "bad", id="problem")

    def on_mount(self) -> None:
        super().on_mount()
        self.query_one("#line", Input).focus()

    @on(Input.Submitted)
    def _accept(self) -> None:
        text = {name: self.query_one(f"#{name}", Input).value.strip() for name in FIELDS}
        try:
            runner = parse_runner(text["runner"], False, RUNNER_SECONDS) if text["runner"] else None
            metrics = parse_metrics((text["metric"],)) if text["metric"] else ()
        except WorkbenchError as problem:
            self._refuse(" ".join(filter(None, (problem.failure.message, problem.failure.remedy))))
            return
        path, search = "" if runner is not None else os.path.expanduser(text["line"]), seconds_typed(text["search"])
        if runner is None and (missing := no_path(path)):
            self._refuse(missing)
        elif runner is not None and not self._model:
            self._refuse("A command is proven against the model on the bench, and none is open: esc, then o.")
        elif search is None:
            self._refuse("The search wants seconds, 0 for none.")
        else:
            self.dismiss(Asked(os.path.abspath(path) if path else "", runner, metrics, search))

    def _refuse(self, text: str) -> None:
        set_words(self.query_one("#problem"), text)
