"""The table of errors on the whole screen. The answer is the path of a module to go to, None when it is closed."""

from __future__ import annotations

from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.screen import ModalScreen
from textual.widgets import Static

from workbench.protocol.cause import ErrorTable
from workbench.tui.panes.errors import ErrorsPane

HINT = "↑↓ walk · enter to the module · s start · g growth · n p own errors · esc"


class ErrorsScreen(ModalScreen[str | None]):
    """One pane and a line of keys."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,F", "close", "close", show=False),
    ]

    DEFAULT_CSS = """
    ErrorsScreen {
        background: $background;
        & > ErrorsPane { width: 100%; height: 1fr; }
        & > Static { width: 100%; height: 1; color: $foreground-muted; padding: 0 1; }
    }
    """

    def __init__(self, table: ErrorTable) -> None:
        super().__init__()
        self._table = table

    def compose(self) -> ComposeResult:
        yield ErrorsPane(self._table, id="errors", unicode=getattr(self.app, "unicode", True))
        yield Static(HINT, markup=False)

    @on(ErrorsPane.Opened)
    def _opened(self, event: ErrorsPane.Opened) -> None:
        self.dismiss(event.path)

    def action_close(self) -> None:
        """Close without going anywhere."""
        self.dismiss(None)
