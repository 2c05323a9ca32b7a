"""The memory account on the whole screen."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.screen import ModalScreen
from textual.widgets import Static

from workbench.tui.panes.account import AccountPane

if TYPE_CHECKING:
    from workbench.client.state import State

HINT = "↑↓ scroll · r again · esc closes"


class AccountScreen(ModalScreen[None]):
    """One pane and a line of keys; esc cancels what is still measured, and closes."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,B", "close", "close", show=False),
        Binding("r", "again", "again", show=False),
    ]

    DEFAULT_CSS = """
    AccountScreen {
        background: $background;
        & > AccountPane { width: 100%; height: 1fr; }
        & > Static { width: 100%; height: 1; color: $foreground-muted; padding: 0 1; }
    }
    """

    def __init__(self, state: State, measure: Callable[[], None], cancel: Callable[[], None]) -> None:
        super().__init__()
        self._state, self._measure, self._cancel = state, measure, cancel
        self._shown = False

    def compose(self) -> ComposeResult:
        yield AccountPane(id="account", unicode=getattr(self.app, "unicode", True))
        yield Static(HINT, markup=False)

    def on_mount(self) -> None:
        self._shown = True
        self.look()

    def on_unmount(self) -> None:
        self._shown = False

    def look(self) -> None:
        """Something may have become known; may be called before it is shown and after it was closed."""
        if self._shown:
            state = self._state
            self.query_one(AccountPane).show(state.account, state.leak, state.counterfactual, self._waiting())

    def _waiting(self) -> str:
        names = {job.name: job for job in self._state.jobs.values()}
        if "AccountMemory" in names:
            return "looking at the worker's memory, with one forward under grad …"
        job = names.get("MeasureCounterfactual")
        if job is None:
            return ""
        phase = f": {job.progress.phase}" if job.progress else ""
        return f"the same runs under the other grad mode, in a worker of their own{phase} …"

    def action_again(self) -> None:
        """Look anew."""
        self._measure()

    def action_close(self) -> None:
        """Close; what nobody looks at need not be measured."""
        self._cancel()
        self.dismiss(None)
