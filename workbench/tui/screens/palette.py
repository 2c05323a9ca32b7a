"""The palette: every action by name. Typing filters, enter does it; what cannot be done now says why."""

from __future__ import annotations

from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.widgets import Input, OptionList
from textual.widgets.option_list import Option

from workbench.client.state import State
from workbench.tui.actions import ACTIONS, Action

from .dialog import Dialog, field


def matching(text: str) -> list[Action]:
    """The actions in which every word of `text` occurs: those in whose label it does first."""
    wanted = text.lower().split()
    found = [one for one in ACTIONS if all(word in f"{one.label} {one.help} {one.group}".lower() for word in wanted)]
    return sorted(found, key=lambda one: not all(word in one.label.lower() for word in wanted))


class Palette(Dialog[str]):
    """The answer is the id of an action."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("down", "move(1)", "down", show=False, priority=True),
        Binding("up", "move(-1)", "up", show=False, priority=True),
    ]

    heading = "All actions"
    hint = "type to filter · enter does it · esc closes"

    def __init__(self, state: State) -> None:
        super().__init__()
        self._state = state
        self._found: list[Action] = []

    def content(self) -> ComposeResult:
        yield field(placeholder="what do you want to do?", id="line")
        listing = OptionList(id="found", compact=True)
        listing.can_focus = False
        yield listing

    def on_mount(self) -> None:
        super().on_mount()
        self._fill("")

    @on(Input.Changed)
    def _typed(self, event: Input.Changed) -> None:
        self._fill(event.value)

    @on(Input.Submitted)
    def _entered(self) -> None:
        position = self.query_one(OptionList).highlighted
        if position is not None and self._found:
            self.dismiss(self._found[position].id)

    @on(OptionList.OptionSelected)
    def _clicked(self, event: OptionList.OptionSelected) -> None:
        self.dismiss(self._found[event.option_index].id)

    def action_move(self, by: int) -> None:
        listing = self.query_one(OptionList)
        if self._found:
            listing.highlighted = ((listing.highlighted or 0) + by) % len(self._found)

    def _fill(self, text: str) -> None:
        self._found = matching(text)
        listing = self.query_one(OptionList)
        listing.clear_options()
        listing.add_options([Option(self._row(action)) for action in self._found])
        if self._found:
            listing.highlighted = 0
        else:
            listing.add_option(Option(Content.styled("no action is called so; backspace", "dim"), disabled=True))

    def _row(self, action: Action) -> Content:
        reason = action.when(self._state)
        key = action.keys[0] if action.keys else ""
        row = Content.styled(f"{key:7}", "bold") + Content(f"{action.label:15}")
        return row + Content.styled(f"not now: {reason}" if reason else action.help, "dim")
