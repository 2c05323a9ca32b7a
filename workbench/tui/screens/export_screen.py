"""Which artifact, and where to."""

from __future__ import annotations

import os
from collections.abc import Collection
from dataclasses import dataclass
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.content import Content
from textual.widgets import Input, OptionList
from textual.widgets.option_list import Option

from workbench.protocol.artifacts import KINDS
from workbench.protocol.requests import SEARCH_SECONDS

from .ask import seconds_typed
from .dialog import NEXT_FIELD, Dialog, field, set_words, words
from .paths import free_name

ABOUT = {
    "weights": "state_dict and how to build the architecture; never a pickled module",
    "trace": "torch.jit.trace: legacy, bakes in one side of every branch; the proof looks for it",
    "export": "torch.export .pt2 with a dynamic batch",
    "aoti": "AOTInductor: native code for this kind of machine; compiles a minute or more, needs g++",
    "onnx": "ONNX for runtimes without torch; wants pytorch-workbench[onnx]",
}
"""What a kind is, and what it cannot do."""


@dataclass(frozen=True)
class Wanted:
    """The answer of the export screen."""

    kind: str
    out: str
    search: float = SEARCH_SECONDS
    """Seconds for the search for a counterexample."""


class ExportScreen(Dialog[Wanted]):
    """Kind and directory. The model is exported as a copy, in eval under no_grad; the bench is not touched."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("down", "move(1)", "down", show=False, priority=True),
        Binding("up", "move(-1)", "up", show=False, priority=True),
        *NEXT_FIELD,
    ]

    DEFAULT_CSS = """
    ExportScreen {
        & .label { width: 12; color: $foreground-muted; }
        & Horizontal { height: 1; width: 100%; }
        & Horizontal > Input { width: 1fr; }
    }
    """

    heading = "Export a proven bundle"
    hint = "↑↓ kind · tab next field · enter exports and proves · esc closes"

    def __init__(
        self, name: str, folder: str = "bundles", kinds: Collection[str] = (), outs: Collection[str] = ()
    ) -> None:
        """kinds, outs: of the exports that run or wait; this one will wait for them."""
        super().__init__()
        self._taken, self._outs = frozenset(kinds), frozenset(outs)
        self._stem = os.path.join(folder, name.lower())

    def content(self) -> ComposeResult:
        kinds = OptionList(
            *(Option(Content(f"{kind:10}{ABOUT.get(kind, '')}")) for kind in KINDS), id="kinds", compact=True
        )
        kinds.can_focus = False
        kinds.highlighted = KINDS.index("export")
        yield kinds
        yield words("", "gap")
        with Horizontal():
            yield words("directory", "label")
            yield field(self._suggested("export"), "a new one", id="out")
        with Horizontal():
            yield words("search, s", "label")
            yield field(f"{SEARCH_SECONDS:g}", "seconds to look for a counterexample; 0: none", id="search")
        yield words("A copy is exported in eval under no_grad, then proven in a clean process before it gets its name. "
                    "A proof that says no leaves it as .failed only.", "gap dim")  # fmt: skip
        yield words("", "bad", id="problem")

    def on_mount(self) -> None:
        super().on_mount()
        self.query_one("#out", Input).focus()

    def action_move(self, by: int) -> None:
        kinds = self.query_one(OptionList)
        before = self._kind
        kinds.highlighted = ((kinds.highlighted or 0) + by) % len(KINDS)
        line = self.query_one("#out", Input)
        if line.value == self._suggested(before):  # not touched by hand
            line.value = self._suggested(self._kind)

    @on(OptionList.OptionSelected)
    @on(Input.Submitted)
    def _accept(self) -> None:
        out = self.query_one("#out", Input).value.strip()
        search = seconds_typed(self.query_one("#search", Input).value)
        if not out:
            set_words(self.query_one("#problem"), "A directory is wanted.")
        elif self._kind in self._taken:
            set_words(self.query_one("#problem"), f"{self._kind} is being made already, or waits for its turn.")
        elif os.path.abspath(os.path.expanduser(out)) in self._outs:
            set_words(self.query_one("#problem"), f"{out} is where another export goes.")
        elif os.path.lexists(os.path.expanduser(out)):
            set_words(self.query_one("#problem"), f"{out} is there already.")
        elif search is None:
            set_words(self.query_one("#problem"), "The search wants seconds, 0 for none.")
        else:
            self.dismiss(Wanted(self._kind, os.path.expanduser(out), search))

    @property
    def _kind(self) -> str:
        return KINDS[self.query_one(OptionList).highlighted or 0]

    def _suggested(self, kind: str) -> str:
        return free_name(f"{self._stem}-{kind}")
