"""The diff pane: two runs compared in full, and where they part when that was asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from textual.binding import BindingType

from workbench.tui.draw.spans import Line, wrapped
from workbench.tui.panes.document_pane import DocumentPane
from workbench.tui.panes.line_pane import pane_key

if TYPE_CHECKING:
    from workbench.protocol.compare import Compared
    from workbench.protocol.runs import Diff, Divergence


class DiffPane(DocumentPane):
    """Shows one `Diff`; scrolls."""

    BINDINGS: ClassVar[list[BindingType]] = [
        pane_key("right_square_bracket", "next_leaf(1)", "Next output", tooltip="Go to the next output"),
        pane_key("left_square_bracket", "next_leaf(-1)", "Previous output", tooltip="Go to the one before"),
    ]

    BORDER_TITLE = "3 diff"

    def __init__(self, *, id: str | None = None, classes: str | None = None, unicode: bool = True) -> None:
        super().__init__(id=id, classes=classes, unicode=unicode)
        self._diff: Diff | None = None
        self._divergence: Divergence | None = None
        self._compared: Compared | None = None
        self._hint = "d compares a run with the reference"

    @property
    def shown(self) -> tuple[int, int]:
        """The two runs that are compared, (0, 0) for none."""
        return (self._diff.run, self._diff.against) if self._diff else (0, 0)

    @property
    def comparison(self) -> Compared | None:
        """Of two models; None while two runs are shown."""
        return self._compared

    def show(self, diff: Diff) -> None:
        """Another difference; the place in it is kept while it is about the same two runs."""
        if self.shown != (diff.run, diff.against):
            self._top = 0
        self._diff, self._compared = diff, None
        self.changed()

    def show_compared(self, found: Compared) -> None:
        """Two models, or one under two settings, in the place of two runs."""
        self._diff = self._divergence = None
        self._compared, self._top = found, 0
        self.changed()

    def show_divergence(self, divergence: Divergence) -> None:
        """Where two runs part; shown with their difference, or alone when that is not there."""
        self._divergence, self._compared = divergence, None
        self._top = 0
        self.changed()

    def clear(self, hint: str = "") -> None:
        """Nothing to compare; `hint` says why, or what to press."""
        self._diff = self._divergence = self._compared = None
        self._hint = hint or self._hint
        self.changed()

    def make_lines(self, width: int, height: int) -> list[Line]:
        if self._compared is not None:
            from workbench.tui.draw.compare_lines import compared_lines

            return compared_lines(self._compared, width, self.unicode)
        if self._diff is None and self._divergence is None:
            return wrapped(self._hint, width, "dim")
        from workbench.tui.draw.diff_lines import diff_lines, divergence_lines  # the first frame wants none of it

        if self._diff is not None:
            return diff_lines(self._diff, self._divergence, width, self.unicode)
        assert self._divergence is not None
        head: Line = ((f"#{self._divergence.run} against #{self._divergence.against}", "strong"),)
        return [head, *divergence_lines(self._divergence, width)]

    def action_next_leaf(self, direction: int) -> None:
        """Scroll to the next block; blocks are parted by empty lines. With one alone the key means what it does
        everywhere else."""
        starts = [0, *(at + 1 for at, line in enumerate(self._made) if not line)]
        if len(starts) == 1:
            self.action_odd(direction)
            return
        past = [at for at in starts if (at - self._top) * direction > 0]
        if past:
            self.scroll_lines((min(past) if direction > 0 else max(past)) - self._top)
