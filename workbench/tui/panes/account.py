"""The pane of the memory account: what memory is used for. It owns nothing but how it is drawn."""

from __future__ import annotations

from typing import TYPE_CHECKING

from workbench.tui.draw.account_lines import account_lines
from workbench.tui.draw.spans import Line
from workbench.tui.panes.document_pane import DocumentPane

if TYPE_CHECKING:
    from workbench.protocol.memory import Counterfactual, Leak, MemoryAccount


class AccountPane(DocumentPane):
    """Parts with bars, saved bytes by module, and the same runs under the other grad mode."""

    BORDER_TITLE = "memory account"

    def __init__(self, *, id: str | None = None, classes: str | None = None, unicode: bool = True) -> None:
        super().__init__(id=id, classes=classes, unicode=unicode)
        self._account: MemoryAccount | None = None
        self._leak: Leak | None = None
        self._other: Counterfactual | None = None
        self._waiting = ""

    def show(
        self, account: MemoryAccount | None, leak: Leak | None, other: Counterfactual | None, waiting: str
    ) -> None:
        """What is known now; `waiting` says what is still being measured."""
        self._account, self._leak, self._other, self._waiting = account, leak, other, waiting
        self.changed()

    def make_lines(self, width: int, height: int) -> list[Line]:
        return account_lines(self._account, self._leak, self._other, self._waiting, width) or [((" ", ""),)]
