"""The inputs of the model on the bench, one row each: changed as text or by keys, with the command that they make."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.widgets import Input

from workbench.client.spec_edits import Row, edited, next_dtype, next_values, rows, with_element
from workbench.protocol.failures import WorkbenchError
from workbench.protocol.model import InputInfo, Recipe

from .ask import whole_number
from .dialog import Dialog, field, set_words, words
from .error_card import with_keys

_MOST_SEED = 2**62
_LABEL = 16


class InputsScreen(Dialog[bool]):
    """The answer is True when other inputs were taken. `apply` takes them, `undo` brings the former ones back and says
    whether there were any; `command` is what reproduces a recipe."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("down", "move(1)", "down", show=False, priority=True),
        Binding("up", "move(-1)", "up", show=False, priority=True),
        Binding("ctrl+t", "edit('dtype')", "dtype", show=False, priority=True),
        Binding("ctrl+r", "edit('values')", "values", show=False, priority=True),
        Binding("ctrl+n", "edit('element')", "element", show=False, priority=True),
        Binding("ctrl+z", "undo", "undo", show=False, priority=True),
    ]

    DEFAULT_CSS = """
    InputsScreen {
        & .label { width: 16; color: $foreground-muted; }
        & Horizontal { height: 1; width: 100%; }
        & Horizontal > Input { width: 1fr; }
        & .origin { padding-left: 16; color: $foreground-muted; }
    }
    """

    heading = "Inputs"
    hint = "ctrl+t dtype · ctrl+r values · ctrl+n element · ctrl+z undo · enter"

    def __init__(
        self,
        recipe: Recipe,
        infos: Sequence[InputInfo],
        command: Callable[[Recipe], str],
        apply: Callable[[Recipe], Awaitable[None]],
        undo: Callable[[], Awaitable[bool]],
    ) -> None:
        super().__init__()
        self._recipe, self._command, self._apply, self._undo = recipe, command, apply, undo
        self._rows: list[Row] = rows(infos, recipe)

    def content(self) -> ComposeResult:
        for place, row in enumerate(self._rows):
            with Horizontal():
                yield words(_label(row), "label")
                line = field(row.text, "one more: mask=None, k=3, m=bool[4]", id=f"row{place}")
                line.disabled = row.fixed
                yield line
            if row.origin:
                yield words(row.origin, "origin")
        with Horizontal():
            yield words("seed", "label")
            yield field(str(self._recipe.seed), "0", id="seed")
        yield words("", "gap strong", id="command")
        yield words("", "gap", id="status")

    def on_mount(self) -> None:
        super().on_mount()
        next(line for line in self.query(Input) if not line.disabled).focus()
        self._show()

    @on(Input.Changed)
    def _typed(self, event: Input.Changed) -> None:
        self._show()

    @on(Input.Submitted)
    def _submitted(self, event: Input.Submitted) -> None:
        self._begin()

    def action_move(self, by: int) -> None:
        if by > 0:
            self.focus_next()
        else:
            self.focus_previous()

    def action_edit(self, what: str) -> None:
        """Turn the row at the cursor to its next dtype or distribution, or give it an element."""
        line = self.focused
        if not isinstance(line, Input) or line.id == "seed":
            return
        turned = {"dtype": next_dtype, "values": next_values, "element": with_element}[what](line.value)
        if turned == line.value:
            self._say("That row is no tensor, or has no element left.", bad=True)
            return
        line.value = turned
        line.cursor_position = len(turned) - turned.endswith("}")

    def action_undo(self) -> None:
        """The inputs before the last change that was applied."""
        self._begin(undo=True)

    def _begin(self, undo: bool = False) -> None:
        if not self.at_work:
            self.at_work = True  # at once: keys that come in the same burst as enter wait for what it does
            self.run_worker(self._take(undo), group="inputs")

    async def _take(self, undo: bool) -> None:
        try:
            if undo and not await self._undo():
                self._say("Nothing was changed yet.", bad=True)
                return
            if not undo:
                await self._apply(self._wanted())
        except WorkbenchError as problem:
            failure = problem.failure
            parts = (failure.message, with_keys(failure.remedy))
            self._say("\n".join(part for part in parts if part), bad=True)
        else:
            self.dismiss(True)
        finally:
            self.at_work = False

    def _wanted(self) -> Recipe:
        """The recipe that the rows describe. Raises `WorkbenchError("inputs")`."""
        texts = [self.query_one(f"#row{place}", Input).value for place in range(len(self._rows))]
        seed = whole_number(self.query_one("#seed", Input).value, 0, _MOST_SEED)
        return edited(self._recipe, self._rows, texts, self._recipe.seed if seed is None else seed)

    def _show(self) -> None:
        """The command that the rows make, or what is wrong with one."""
        try:
            command = self._command(self._wanted())
        except WorkbenchError as problem:
            self._say(problem.failure.message, bad=True)
            return
        set_words(self.query_one("#command"), command)
        self._say("")

    def _say(self, text: str, bad: bool = False) -> None:
        status = self.query_one("#status")
        status.set_class(bad, "bad")
        set_words(status, text)


def _label(row: Row) -> str:
    name = row.name or ("add" if not row.origin else "")
    return name if len(name) < _LABEL else f"{name[: _LABEL - 2]}…"
