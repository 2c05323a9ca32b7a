"""The artifacts pane: what was exported or verified, how far it is, and what the proof says.

It owns the rows and a clock that ticks only while one of them is running. It starts and judges nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from time import monotonic
from typing import TYPE_CHECKING, ClassVar

from textual.binding import BindingType
from textual.message import Message
from textual.timer import Timer

from workbench.protocol.artifacts import KINDS, ExportResult, VerifyResult
from workbench.tui.draw.artifact_lines import ArtifactRow, artifact_line, detail_lines
from workbench.tui.draw.spans import Line
from workbench.tui.panes.line_pane import LinePane, pane_key

if TYPE_CHECKING:
    from workbench.protocol.failures import Failure
    from workbench.protocol.messages import Progress


class ArtifactsPane(LinePane):
    """One line a kind, then the details of the chosen one."""

    BINDINGS: ClassVar[list[BindingType]] = [
        pane_key("enter", "open", "Open", id="artifacts.open", tooltip="Show everything about the artifact"),
    ]

    BORDER_TITLE = "5 artifacts"

    HAS_CURSOR = True

    @dataclass
    class ArtifactOpened(Message):
        """Enter or a double click."""

        kind: str

    def __init__(self, *, id: str | None = None, classes: str | None = None, unicode: bool = True) -> None:
        super().__init__(id=id, classes=classes, unicode=unicode)
        self._rows: dict[str, ArtifactRow] = {kind: ArtifactRow(kind) for kind in KINDS}
        self._began: dict[str, float] = {}
        self._former: dict[str, ArtifactRow] = {}
        """What the line of a kind that waits said before."""
        self._chosen = KINDS[0]
        self._details: tuple[ArtifactRow | None, int, list[Line]] = (None, -1, [])
        self._ticker: Timer | None = None

    @property
    def chosen(self) -> str:
        """The kind at the cursor."""
        return self._chosen

    def wait(self, kind: str, behind: str) -> None:
        """An export of this kind was asked for, and begins when that of `behind` has ended."""
        row = self._rows[kind]
        if row.state != "waiting":
            self._former[kind] = row
        self._put(ArtifactRow(kind, "waiting", behind=behind))

    def unwait(self, kind: str) -> None:
        """It will not begin: what was there before is there again."""
        self._put(self._former.pop(kind, ArtifactRow(kind)))

    def start(self, kind: str) -> None:
        """An export of this kind, or a verification of this path, has begun."""
        self._began[kind] = monotonic()
        self._put(ArtifactRow(kind, "running"))

    def progress(self, kind: str, progress: Progress) -> None:
        """What it does now."""
        row = self._rows.get(kind)
        if row is not None and row.state == "running" and row.progress != progress:  # a repaint brings the last again
            self._began[kind] = monotonic() - progress.seconds
            self._put(replace(row, progress=progress))

    def finish(self, kind: str, result: ExportResult | VerifyResult) -> None:
        """It has ended with a verdict."""
        if isinstance(result, ExportResult):
            self._put(ArtifactRow(kind, "made", result=result))
        else:
            self._put(ArtifactRow(kind, "verified", verified=result))

    def fail(self, kind: str, failure: Failure) -> None:
        """It has ended without one."""
        self._put(ArtifactRow(kind, "failed", failure=failure))

    def clear(self) -> None:
        """Another model: nothing is made yet."""
        self._rows = {kind: ArtifactRow(kind) for kind in KINDS}
        self._began.clear()
        self._former.clear()
        self._chosen, self._cursor, self._top = KINDS[0], 0, 0
        self._tick_while_running()
        self.redraw()

    def on_mount(self) -> None:
        self._ticker = self.set_interval(1.0, self.redraw, pause=True)
        self._tick_while_running()

    def _put(self, row: ArtifactRow) -> None:
        self._rows[row.kind] = row
        self._tick_while_running()
        self.redraw()

    def _tick_while_running(self) -> None:
        if self._ticker is not None:
            if any(row.state == "running" for row in self._rows.values()):
                self._ticker.resume()
            else:
                self._ticker.pause()

    # Lines

    def body_length(self, width: int) -> int:
        details = self._details_for(width)
        return len(self._rows) + (len(details) + 1 if details else 0)

    def body_line(self, index: int, width: int) -> Line:
        rows = self._listed()
        if index < len(rows):
            row = rows[index]
            return artifact_line(row, monotonic() - self._began.get(row.kind, monotonic()))
        if index == len(rows):
            return ((f"─ {self._chosen} " + "─" * max(0, width - len(self._chosen) - 3), "dim"),)
        return self._details_for(width)[index - len(rows) - 1]

    def _listed(self) -> Sequence[ArtifactRow]:
        return tuple(self._rows.values())

    def _details_for(self, width: int) -> list[Line]:
        row = self._rows[self._chosen]
        if self._details[0] is not row or self._details[1] != width:
            self._details = (row, width, detail_lines(row, width))
        return self._details[2]

    # Cursor and actions

    def cursor_moved(self) -> None:
        rows = self._listed()
        if self._cursor < len(rows) and rows[self._cursor].kind != self._chosen:
            self._chosen = rows[self._cursor].kind

    def cursor_opened(self) -> None:
        self.action_open()

    def action_open(self) -> None:
        self.post_message(self.ArtifactOpened(self._chosen))
