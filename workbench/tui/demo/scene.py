"""What a step of the story looks at, and what it says about it. Records only."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from workbench.client.state import State
from workbench.protocol.artifacts import ExportResult
from workbench.protocol.failures import Failure
from workbench.protocol.runs import RunRow
from workbench.tui.desk import Desk


@dataclass(frozen=True)
class Claim:
    """What was measured, and whether the story held."""

    held: bool
    words: str


@dataclass
class Scene:
    """One step while it is played."""

    desk: Desk
    scratch: str
    """A private directory that goes with the demo."""
    since: int = 0
    """Newest run when the step began; 0: none."""
    failures: int = 0
    """How many failures had been shown by then."""
    answer: str = ""
    """What the quiz was answered with; empty when it was closed."""
    facts: dict[str, str] = field(default_factory=dict)
    """What a preparation found out by itself."""

    @property
    def state(self) -> State:
        return self.desk.state

    def rows(self, **wanted: str) -> list[RunRow]:
        """Finished runs of this step whose fields are as wanted, the newest last."""
        return [
            row
            for number, row in sorted(self.state.rows.items())
            if number > self.since
            and not row.running
            and all(getattr(row, name) == value for name, value in wanted.items())
        ]

    @property
    def failure(self) -> Failure | None:
        """The newest failure that was shown in this step."""
        return self.desk.failures[-1] if len(self.desk.failures) > self.failures else None

    def export(self, kind: str) -> ExportResult | None:
        """The export of this kind that was made in this step's directory."""
        result = self.state.exports.get(kind)
        return result if result is not None and result.path.startswith(self.scratch) else None


@dataclass(frozen=True)
class Quiz:
    """A question that is answered before it is tried."""

    question: str
    choices: tuple[tuple[str, str], ...]
    """Key and answer."""
    right: str


@dataclass(frozen=True)
class Step:
    """One step of the story."""

    title: str
    words: str
    """What is about to be seen."""
    ask: str
    """What to press, in words; empty when the step does it all itself."""
    keys: tuple[str, ...]
    """The same as keys, for the demo that plays by itself."""
    reached: Callable[[Scene], bool]
    """Whether there is something to judge by."""
    claim: Callable[[Scene], Claim]
    """The judgement, made of what was measured."""
    prepare: Callable[[Scene], Awaitable[None]] | None = None
    """Sets the stage: opens another model, writes a file."""
    quiz: Quiz | None = None
    after_quiz: Callable[[Scene], Awaitable[None]] | None = None
    """Runs what the quiz asked about."""
    pane: str = "runs"
    """The pane in which the step is best seen; where panes are tabs, it is brought forward."""
