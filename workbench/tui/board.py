"""Where each pane stands. A pure plan of boxes, and the container that follows it.

The panes never change parents: another size of the terminal, another tab or a maximised pane is another plan.
"""

from __future__ import annotations

from typing import NamedTuple

from textual.geometry import Region, Size, Spacing
from textual.layout import ArrangeResult, Layout, WidgetPlacement
from textual.widget import Widget

PANES = ("model", "runs", "diff", "memory", "artifacts", "log", "checks")
"""Ids of the panes in the order of their keys, 1 to 7."""

WIDE = (110, 26)
"""Columns and rows of the board from which every pane has its place, the checks apart: they take that of three."""
SIDE_COLUMNS = 104
"""Columns from which the module tree stays at the left of the tabs."""


class Box(NamedTuple):
    """A pane's place on the board, in cells."""

    x: int
    y: int
    width: int
    height: int


def is_wide(width: int, height: int) -> bool:
    """Whether the panes fit, so that no tabs are wanted."""
    return width >= WIDE[0] and height >= WIDE[1]


def plan(width: int, height: int, shown: str, maximised: bool = False) -> dict[str, Box]:
    """The box of every visible pane. `shown` is the pane that was chosen last: the one on top, the one maximised."""
    if maximised:
        return {shown: Box(0, 0, width, height)}
    if is_wide(width, height):
        return _wide(width, height) if shown != "checks" else _wide_checks(width, height)
    if width >= SIDE_COLUMNS:
        left = max(34, width * 3 // 10)
        below = _stacked(width - left, height, "diff" if shown in ("model", "runs") else shown)
        moved = {pane: box._replace(x=left) for pane, box in below.items()}
        return {"model": Box(0, 0, left, height), **moved}
    return _stacked(width, height, shown)


def _wide(width: int, height: int) -> dict[str, Box]:
    left = min(56, max(36, width * 3 // 10))
    low = 7 if height >= 32 else 5
    top = height - low
    upper = top * 6 // 11
    artifacts = width * 3 // 5
    return {
        "model": Box(0, 0, left, upper),
        "diff": Box(0, upper, left, top - upper),
        "runs": Box(left, 0, width - left, upper),
        "memory": Box(left, upper, width - left, top - upper),
        "artifacts": Box(0, top, artifacts, low),
        "log": Box(artifacts, top, width - artifacts, low),
    }


def _wide_checks(width: int, height: int) -> dict[str, Box]:
    """The checks below the runs, in the place of memory, artifacts and log."""
    boxes = _wide(width, height)
    model, runs = boxes["model"], boxes["runs"]
    low = height - runs.height
    return {
        "model": model,
        "runs": runs,
        "diff": Box(0, model.height, model.width, low),
        "checks": Box(runs.x, runs.height, runs.width, low),
    }


def _stacked(width: int, height: int, shown: str) -> dict[str, Box]:
    """The runs on top, for they change with every key; below them the pane that was chosen."""
    below = "model" if shown == "runs" else shown
    upper = max(6, height * 9 // 20) if shown != "checks" else 6
    return {"runs": Box(0, 0, width, upper), below: Box(0, upper, width, height - upper)}


class BoardLayout(Layout):
    """Places children by id, as the plan says."""

    name = "board"

    def __init__(self) -> None:
        self.shown = "runs"
        self.maximised = False

    def arrange(self, parent: Widget, children: list[Widget], size: Size, greedy: bool = True) -> ArrangeResult:
        boxes = plan(size.width, size.height, self.shown, self.maximised)
        return [
            WidgetPlacement(Region(*boxes[child.id]), Region().offset, Spacing(), child)
            for child in children
            if child.id in boxes
        ]


class Board(Widget):
    """The container of the panes."""

    DEFAULT_CSS = "Board { width: 1fr; height: 1fr; overflow: hidden; }"

    def __init__(self, *panes: Widget) -> None:
        super().__init__(*panes, id="board")
        self._plan = BoardLayout()
        self._default_layout = self._plan  # type: ignore[assignment]  # declared as one of its kinds

    @property
    def shown(self) -> str:
        """The pane that was chosen last."""
        return self._plan.shown

    @property
    def maximised(self) -> bool:
        """Whether one pane has the whole board."""
        return self._plan.maximised

    def choose(self, pane: str, maximised: bool | None = None) -> None:
        """Bring a pane forward; `maximised` None leaves that as it is."""
        before = self._boxes()
        self._plan.shown = pane
        if maximised is not None:
            self._plan.maximised = maximised
        if self._boxes() != before:  # where every pane has its place, choosing one moves nothing
            self.replan()

    def replan(self) -> None:
        """Take every pane that has no box out of the focus chain, and lay out again."""
        self._hide_boxless()
        self.refresh(layout=True)

    def _hide_boxless(self) -> None:
        boxes = self._boxes()
        for child in self.children:
            if child.display != (child.id in boxes):
                child.display = child.id in boxes

    def _boxes(self) -> dict[str, Box]:
        return plan(self.size.width, self.size.height, self._plan.shown, self._plan.maximised)

    def on_resize(self) -> None:
        self._hide_boxless()  # the layout that brought the new size has put the others in their places already
