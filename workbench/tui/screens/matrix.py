"""The mode matrix on the whole screen. The answer is the cell to set the bench to, None when it is closed."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.screen import ModalScreen
from textual.widgets import Static

from workbench.protocol.matrix import MatrixCell
from workbench.report.numbers import clock
from workbench.tui.panes.matrix import MatrixPane
from workbench.tui.screens.ask import AskText

if TYPE_CHECKING:
    from workbench.client.state import OpenJob, State

CLOCK = 1.0
"""Seconds between two looks of the clock while it is measured."""

Measure = Callable[[tuple[str, ...], bool], None]
"""Begin to measure with these further dtypes, and with torch.compile or without."""


class MatrixScreen(ModalScreen[MatrixCell | None]):
    """One pane, a line of progress and a line of keys."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "stop", "cancel or close", show=False),
        Binding("q,M", "close", "close", show=False),
        Binding("r", "again", "measure again", show=False),
        Binding("d", "dtypes", "dtypes", show=False),
        Binding("p", "compile", "compile", show=False),
    ]

    DEFAULT_CSS = """
    MatrixScreen {
        background: $background;
        & > MatrixPane { width: 100%; height: 1fr; }
        & > Static { width: 100%; height: 1; padding: 0 1; text-wrap: nowrap; text-overflow: ellipsis; }
        & > #hint { color: $foreground-muted; }
    }
    """

    def __init__(self, state: State, measure: Measure, cancel: Callable[[], None]) -> None:
        super().__init__()
        self._state, self._measure, self._cancel = state, measure, cancel
        self._dtypes: tuple[str, ...] = ()
        self._compile = True
        self._shown = False

    def compose(self) -> ComposeResult:
        yield MatrixPane(id="matrix", unicode=getattr(self.app, "unicode", True))
        yield Static("", markup=False, id="progress")
        yield Static("", markup=False, id="hint")

    def on_mount(self) -> None:
        self._shown = True
        self.look()
        self.set_interval(CLOCK, self._tick)

    def on_unmount(self) -> None:
        self._shown = False

    @property
    def _job(self) -> OpenJob | None:
        return next((job for job in self._state.jobs.values() if job.name == "MeasureMatrix"), None)

    def look(self) -> None:
        """Something may have become known; may be called before it is shown and after it was closed."""
        if not self._shown:
            return
        self.query_one(MatrixPane).show(self._state.matrix)
        self.query_one("#progress", Static).update(self._words())
        running = self._job is not None
        compiled = "off" if self._compile else "on"
        keys = f"enter sets the bench · r again · d dtypes · p compile {compiled}"
        self.query_one("#hint", Static).update(
            "esc cancels, and keeps what there is · M back to the bench" if running else f"{keys} · esc closes"
        )

    def _words(self) -> str:
        job, matrix = self._job, self._state.matrix
        if job is not None:
            seconds = job.progress.seconds if job.progress else 0.0
            phase = job.progress.phase if job.progress else "starting a worker"
            share = f" {job.progress.done:.0f}/{job.progress.total:.0f}" if job.progress and job.progress.total else ""
            return f"{clock(max(seconds, self._elapsed(job)))}  {phase}{share}"
        if matrix is None:
            return "press r to measure"
        return f"{matrix.ended or 'ended'} in {clock(matrix.seconds)}"

    def _elapsed(self, job: OpenJob) -> float:
        import asyncio

        return asyncio.get_running_loop().time() - job.started

    def _tick(self) -> None:
        if self._job is not None:
            self.look()

    @on(MatrixPane.Chosen)
    def _chosen(self, event: MatrixPane.Chosen) -> None:
        self.dismiss(event.cell)

    def action_stop(self) -> None:
        """Cancel what is measured; with nothing, close."""
        if self._job is not None:
            self._cancel()
        else:
            self.dismiss(None)

    def action_close(self) -> None:
        """Back to the bench; what is measured goes on."""
        self.dismiss(None)

    def action_again(self) -> None:
        """Measure anew, unless it is being measured."""
        if self._job is None:
            self._measure(self._dtypes, self._compile)

    def action_compile(self) -> None:
        """With torch.compile or without, from the next measurement on."""
        self._compile = not self._compile
        self.look()

    def action_dtypes(self) -> None:
        """Ask which dtypes to cast to, and measure with them."""
        if self._job is None:
            question = "Further dtypes, with commas: bfloat16, float16, float64. Empty: the bench's own alone."
            self.app.push_screen(AskText("Dtypes", question, ", ".join(self._dtypes), _no_dtypes), self._measure_with)

    def _measure_with(self, answer: str | None) -> None:
        if answer is not None:
            self._dtypes = _parsed(answer)
            self.action_again()


def _parsed(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _no_dtypes(text: str) -> str:
    wrong = set(_parsed(text)) - {"float16", "bfloat16", "float32", "float64"}
    return f"No such dtype: {', '.join(sorted(wrong))}." if wrong else ""
