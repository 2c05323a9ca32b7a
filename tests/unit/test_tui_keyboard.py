"""Keys in one burst go where each would go had it come alone."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import ClassVar

from textual import events, on
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.widgets import Input

from workbench.tui.keyboard import Keyboard
from workbench.tui.screens.dialog import Dialog, field


class Two(Dialog[str]):
    """Two fields; enter takes both when it is told to."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("ctrl+u", "upper", priority=True)]

    def __init__(self) -> None:
        super().__init__()
        self.go = asyncio.Event()

    def content(self) -> ComposeResult:
        yield field("", id="a")
        yield field("", id="b")

    def texts(self) -> list[str]:
        return [one.value for one in self.query(Input)]

    def action_upper(self) -> None:
        line = self.focused
        assert isinstance(line, Input)
        line.value = line.value.upper()
        line.cursor_position = len(line.value)

    @on(Input.Submitted)
    def _submitted(self) -> None:
        self.at_work = True
        self.run_worker(self._take())

    async def _take(self) -> None:
        await self.go.wait()
        self.at_work = False
        self.dismiss(" ".join(self.texts()))


class Host(App[None]):
    """A dialog over a screen that notes its keys."""

    def __init__(self) -> None:
        super().__init__()
        self.card = Two()
        self.below: list[str] = []
        self.answers: list[str | None] = []
        self.keyboard = Keyboard(self, super().on_event)

    def on_mount(self) -> None:
        self.push_screen(self.card, self.answers.append)

    def on_key(self, event: events.Key) -> None:
        if not isinstance(self.screen, Dialog):
            self.below.append(event.key)

    async def on_event(self, event: events.Event) -> None:
        if isinstance(event, events.Key) and not event.is_forwarded and self.keyboard.keeps(event):
            return
        await super().on_event(event)

    def burst(self, *names: str) -> None:
        """All at once: nothing runs between two of them."""
        for name in names:
            self.post_message(events.Key(name, name if len(name) == 1 else None))


async def until(holds: Callable[[], object]) -> None:
    async with asyncio.timeout(60):
        while not holds():
            await asyncio.sleep(0.01)


async def test_letters_after_a_tab_are_the_next_fields() -> None:
    app = Host()
    async with app.run_test() as pilot:
        await pilot.pause()
        app.burst(*"float32[4]", "tab", *"77", "shift+tab", "end", *"{ones}", "tab", "end", "8")
        await until(lambda: app.card.texts()[1] == "778")
        assert app.card.texts() == ["float32[4]{ones}", "778"]


async def test_a_key_that_changes_a_field_changes_what_was_typed_before_it() -> None:
    app = Host()
    async with app.run_test() as pilot:
        await pilot.pause()
        app.burst(*"abc", "ctrl+u", *"def", "tab", "x")
        await until(lambda: app.card.texts()[1] == "x")
        assert app.card.texts() == ["ABCdef", "x"]


async def test_keys_after_enter_wait_for_what_it_does() -> None:
    app = Host()
    async with app.run_test() as pilot:
        await pilot.pause()
        app.burst(*"abc", "enter", "p", "q")
        await until(lambda: app.card.at_work)
        await pilot.pause(0.1)
        assert app.card.texts() == ["abc", ""]
        app.card.go.set()
        await until(lambda: app.below == ["p", "q"])
        assert app.answers == ["abc "]


async def test_escape_does_not_wait_and_calls_off_what_was_typed_after_enter() -> None:
    app = Host()
    async with app.run_test() as pilot:
        await pilot.pause()
        app.burst(*"abc", "enter", "p", "q")
        await until(lambda: app.card.at_work)
        app.burst("escape")
        await until(lambda: app.answers == [None])
        app.burst("z")
        await until(lambda: app.below == ["z"])
