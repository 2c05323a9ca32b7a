"""The main screen with the story below the panes."""

from __future__ import annotations

from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.widget import Widget

from workbench.tui.desk import Desk
from workbench.tui.main_screen import MainScreen

from .panel import StoryPanel
from .story import Story


class StoryScreen(MainScreen):
    """Enter goes on with the story; every other key works as ever."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("enter", "go_on", "on", show=False, priority=True)]

    def __init__(self, desk: Desk) -> None:
        super().__init__(desk)
        self._panel = StoryPanel(desk.app.options.unicode)
        self.story = Story(desk, self._panel, desk.app.options.autoplay)

    def above_activity(self) -> list[Widget]:
        return [self._panel]

    def on_mount(self) -> None:
        super().on_mount()
        self.desk.run(self.story.play)

    def story_changed(self) -> None:
        self.story.look()

    def action_go_on(self) -> None:
        """The claim was read."""
        self.story.go_on()
