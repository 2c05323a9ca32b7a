"""The one screen of the workbench: composes the panes and passes on what happens. It does none of the work itself."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, ClassVar

from textual import events, on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.screen import Screen
from textual.widget import Widget
from textual.widgets import Static

from workbench.protocol.model import ModeChange
from workbench.tui.bars import ActivityBar, KeyBar, TabBar
from workbench.tui.board import PANES, Board, is_wide
from workbench.tui.keymap import bindings
from workbench.tui.painter import Painter
from workbench.tui.panes.artifacts import ArtifactsPane
from workbench.tui.panes.checks import ChecksPane
from workbench.tui.panes.diff import DiffPane
from workbench.tui.panes.line_pane import LinePane
from workbench.tui.panes.log import LogPane
from workbench.tui.panes.memory import MemoryPane
from workbench.tui.panes.model import ModelPane
from workbench.tui.panes.runs import RunsPane
from workbench.tui.panes.status import StatusLine
from workbench.tui.wiring import Wiring

if TYPE_CHECKING:
    from workbench.protocol.compare import Compared
    from workbench.protocol.runs import Diff, Divergence
    from workbench.tui.desk import Desk


class MainScreen(Screen[None]):
    """Status, tabs, panes, activity, keys; in the demo the story above the keys."""

    BINDINGS: ClassVar[list[BindingType]] = bindings()

    AUTO_FOCUS = "#runs"

    DEFAULT_CSS = """
    MainScreen {
        layout: vertical; overflow: hidden;
        & > #too-small { display: none; width: 1fr; height: 1fr; content-align: center middle; text-align: center; }
        & > #tabs { display: none; }
        &.-tabbed > #tabs { display: block; }
        &.-small > * { display: none; }
        &.-small > #too-small { display: block; }
    }
    """

    def __init__(self, desk: Desk) -> None:
        super().__init__()
        self.desk = desk
        options = desk.app.options
        self.model = ModelPane(id="model", unicode=options.unicode)
        self.runs = RunsPane(id="runs", unicode=options.unicode)
        self.diff = DiffPane(id="diff", unicode=options.unicode)
        self.memory = MemoryPane(id="memory", unicode=options.unicode)
        self.artifacts = ArtifactsPane(id="artifacts", unicode=options.unicode)
        self.printed = LogPane(id="log", unicode=options.unicode)
        self.checks = ChecksPane(id="checks", unicode=options.unicode)
        self.status = StatusLine(id="status", unicode=options.unicode)
        self.tabs = TabBar("tabs", options.unicode)
        self.board = Board(self.model, self.runs, self.diff, self.memory, self.artifacts, self.printed, self.checks)
        self.activity = ActivityBar("activity", options.unicode)
        self.wiring = Wiring(desk.state, self._paint, options.repaint_seconds)
        self.painter = Painter(self, self.wiring)

    def compose(self) -> ComposeResult:
        yield self.status
        yield self.tabs
        yield self.board
        yield from self.above_activity()
        yield self.activity
        yield KeyBar("keys", self.desk.app.options.unicode)
        yield Static("", markup=False, id="too-small")

    def above_activity(self) -> list[Widget]:
        """What stands between the panes and the activity line."""
        return []

    def story_changed(self) -> None:
        """Something happened that a story may wait for."""

    def on_mount(self) -> None:
        self.wiring.touch()
        self.wiring.flush()  # into the first frame; a moment later would be a second layout

    def on_unmount(self) -> None:
        self.wiring.close()

    def on_resize(self, event: events.Resize) -> None:
        columns, rows = self.desk.app.options.minimum
        width, height = event.size
        small = width < columns or height < rows
        self.set_class(small, "-small")
        if small:
            words = f"{width}×{height} is too small.\nPlease enlarge the terminal to {columns}×{rows}.\nq leaves"
            self.query_one("#too-small", Static).update(words if self.desk.app.unicode else words.replace("×", "x"))
        self._retab()

    def _retab(self) -> None:
        """Tabs where not every pane has its place."""
        width, height = self.size
        tabbed = self.board.maximised or self.board.shown == "checks" or not is_wide(width, height - 3)
        self.set_class(tabbed, "-tabbed")
        self.tabs.show(self.board.shown, sorted(self.painter.badges))

    # what the desk asks of the screen

    def say(self, words: str, severity: str = "information") -> None:
        """One line above the keys, at once."""
        self.painter.say(words, severity)

    def touch(self) -> None:
        """Look at everything again."""
        self.wiring.touch()

    @property
    def selected_run(self) -> int:
        """The run at the cursor; 0 while the cursor follows the newest, which may not have been painted yet."""
        chosen = self.runs.selected_run
        return 0 if chosen == self.painter.newest else chosen

    def select_newest(self) -> None:
        """The cursor follows the newest run again."""
        self.runs.select_newest()

    @property
    def selected_module(self) -> str:
        return self.model.selected_path

    @property
    def maximised(self) -> bool:
        return self.board.maximised

    def show_pane(self, pane: str, maximised: bool | None = None) -> None:
        """Bring a pane forward and focus it; a maximised one gives its place to it."""
        self.painter.seen(pane)
        self.board.choose(pane, maximised)
        self._retab()
        self.set_focus(self.board.get_child_by_id(pane, LinePane))

    def toggle_maximised(self) -> None:
        """The focused pane alone, or all of them again."""
        focused = self.focused
        pane = focused.id if focused is not None and focused.id in PANES else self.board.shown
        self.show_pane(str(pane), not self.board.maximised)

    def show_odd(self, direction: int) -> None:
        """Put the tree's cursor on the next module in another mode, and bring the tree forward where it is hidden."""
        self.model.action_odd(direction)
        if not self.model.display:
            self.show_pane("model")

    def show_diff(self, diff: Diff) -> None:
        self.diff.show(diff)
        self.painter.news("diff")
        self._retab()

    def show_compared(self, found: Compared) -> None:
        self.diff.show_compared(found)
        self.painter.news("diff")
        self._retab()

    def show_divergence(self, divergence: Divergence) -> None:
        self.diff.show_divergence(divergence)
        if divergence.module:
            self.model.select_path(divergence.module)

    def _paint(self, parts: frozenset[str]) -> None:
        if self.is_attached:
            self.painter.paint(parts)

    # what the panes and bars say

    async def action_do(self, action: str) -> None:
        """Every key of the registry ends here. The next key comes after the command has looked at what is selected."""
        self.desk.do(action)
        await asyncio.sleep(0)

    @on(KeyBar.Pressed)
    def _key_clicked(self, event: KeyBar.Pressed) -> None:
        self.desk.do(event.action)

    @on(TabBar.Chosen)
    def _tab_clicked(self, event: TabBar.Chosen) -> None:
        self.show_pane(event.pane)

    @on(events.DescendantFocus)
    def _focused(self, event: events.DescendantFocus) -> None:
        pane = event.widget.id
        if pane in PANES and pane != self.board.shown and not self.board.maximised:
            self.board.choose(pane)
            self._retab()

    @on(RunsPane.RunSelected)
    def _run_selected(self, event: RunsPane.RunSelected) -> None:
        self.desk.run(lambda desk: desk.follow(event.run))

    @on(RunsPane.RunOpened)
    def _run_opened(self, event: RunsPane.RunOpened) -> None:
        self.desk.do("diff")

    @on(ArtifactsPane.ArtifactOpened)
    def _artifact_opened(self, event: ArtifactsPane.ArtifactOpened) -> None:
        from workbench.tui.commands.artifacts import show_artifact

        self.desk.run(lambda desk: show_artifact(desk, event.kind))

    @on(ChecksPane.CheckOpened)
    def _check_opened(self, event: ChecksPane.CheckOpened) -> None:
        from workbench.tui.commands.checks import show_check

        show_check(self.desk, event.row)

    @on(ModelPane.ToggleModule)
    def _module_toggled(self, event: ModelPane.ToggleModule) -> None:
        change = ModeChange(module=event.path, module_training=event.training)
        self.desk.run(lambda desk: desk.change(change))
