"""An app around one pane, and its picture as text: the one place that reads Textual's private compositor."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from textual.app import App, ComposeResult
from textual.geometry import Region
from textual.message import Message
from textual.pilot import Pilot
from textual.widget import Widget


class Host(App[None]):
    """Shows one widget and keeps the messages it posts."""

    def __init__(self, pane: Widget) -> None:
        super().__init__()
        self.pane = pane
        self.said: list[Message] = []

    def compose(self) -> ComposeResult:
        yield self.pane

    def picture(self) -> list[str]:
        """The screen's lines, without blanks at their ends."""
        return [strip.text.rstrip() for strip in self.screen._compositor.render_strips()]

    def has(self, text: str) -> bool:
        return any(text in line for line in self.picture())


@asynccontextmanager
async def hosted(pane: Widget, size: tuple[int, int] = (80, 24)) -> AsyncIterator[tuple[Host, Pilot[None]]]:
    """The pane in a running app that keeps every message which bubbles from it."""
    host = Host(pane)
    keep = host.said

    def hook(message: Message) -> None:
        if all(message is not known for known in keep) and type(message).__qualname__.startswith(
            type(pane).__name__ + "."
        ):
            keep.append(message)

    async with host.run_test(size=size, message_hook=hook) as pilot:
        await pilot.pause()
        yield host, pilot


def spy_on_refresh(pane: Any) -> list[tuple[Region, ...]]:
    """Every later `refresh` of the pane: its regions, () for the whole of it."""
    calls: list[tuple[Region, ...]] = []
    original = pane.refresh

    def refresh(*regions: Region, **kwargs: Any) -> Any:
        assert not kwargs.get("layout"), "a pane asked for a layout"
        calls.append(regions)
        return original(*regions, **kwargs)

    pane.refresh = refresh
    return calls
