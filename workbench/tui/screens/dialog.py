"""The base of every dialog: a bordered card in the middle, closed with esc. Owns looks, and no meaning."""

from __future__ import annotations

from typing import ClassVar, Generic, TypeVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.screen import ModalScreen
from textual.widget import Widget
from textual.widgets import Input, Static

Answer = TypeVar("Answer")


WIDTH = 100
"""Columns of a card where the terminal has them."""
FRAME = 6
"""Columns of a card's border, padding and scroll bar."""


NEXT_FIELD: tuple[BindingType, ...] = (
    Binding("tab", "app.focus_next", "next field", show=False, priority=True),
    Binding("shift+tab", "app.focus_previous", "field before", show=False, priority=True),
)
"""For cards of several fields: these keys go first, so that what is typed in one burst with them goes to the next."""


class Dialog(ModalScreen[Answer | None], Generic[Answer]):
    """A modal card. Subclasses yield their widgets from `content`; the answer is None when it is closed with esc."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "close", "close", show=False)]

    DEFAULT_CSS = """
    Dialog {
        align: center middle;
        background: $background 60%;
        & > #card {
            width: 100; max-width: 96%; height: auto; max-height: 96%;
            padding: 0 1;
            border: round $primary; border-title-style: bold;
            border-subtitle-color: $foreground-muted;
            background: $surface;
        }
        &.-danger > #card { border: round $error; border-title-color: $text-error; }
        &.-ascii > #card { border: ascii $primary; }
        & Static { width: 100%; height: auto; }
        & .gap { margin-top: 1; }
        & .dim { color: $foreground-muted; }
        & .bad { color: $text-error; text-style: bold; }
        & .good { color: $text-success; }
        & .strong { text-style: bold; }
        & Input { height: 1; border: none; padding: 0 1; background: $foreground 10%;
                  &:focus { border: none; background: $primary 25%; } }
        & VerticalScroll { scrollbar-size-vertical: 1; }
        & OptionList { height: auto; max-height: 12; border: none; padding: 0; background: $surface;
                       text-wrap: nowrap; text-overflow: ellipsis; scrollbar-size-vertical: 1;
                       &:focus { border: none; }
                       & > .option-list--option-highlighted { background: $primary 60%; text-style: bold; } }
        &:ansi > #card { border: round ansi_default; background: ansi_default; }
        &:ansi Input { background: ansi_default; text-style: underline; }
        &:ansi OptionList { background: ansi_default;
            & > .option-list--option-highlighted, &:focus > .option-list--option-highlighted {
                color: ansi_bright_white; background: ansi_blue; text-style: bold; } }
        &.-ascii:ansi > #card { border: ascii ansi_default; }
    }
    """

    heading: str = ""
    """Title of the card."""
    hint: str = "esc closes"
    """Keys, in the card's lower border."""

    at_work: bool = False
    """It is at something that keys have to wait for, all but escape."""

    def compose(self) -> ComposeResult:
        with VerticalScroll(id="card", can_focus=False) as card:
            card.border_title = plain_title(self.heading)
            card.border_subtitle = plain_title(self.hint)
            yield from self.content()

    def content(self) -> ComposeResult:
        """The widgets inside."""
        yield from ()

    def on_mount(self) -> None:
        self.set_class(not getattr(self.app, "unicode", True), "-ascii")

    def action_close(self) -> None:
        """Close without an answer."""
        self.dismiss(None)


def words(text: str, classes: str = "", id: str | None = None) -> Static:
    """A paragraph of plain words: nothing in it is markup."""
    return Static(text, markup=False, classes=classes, id=id)


def field(value: str = "", placeholder: str = "", id: str | None = None) -> Input:
    """A one-line input whose cursor does not blink, so that an idle screen sends nothing."""
    line = Input(value, placeholder=placeholder, id=id, compact=True)
    line.cursor_blink = False
    return line


def plain_title(text: str) -> str:
    """A border title that no markup parser will touch."""
    return text.replace("[", "\\[")


def set_words(widget: Widget, text: str) -> None:
    """New words for a paragraph made by `words`; nothing is repainted when they are the same."""
    assert isinstance(widget, Static)
    if str(widget.content) != text:
        widget.update(text)
