"""What the session knows at this moment. Written by the session alone; faces read it."""

from __future__ import annotations

import collections
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # names only, so that a face can have its state before the protocol is imported
    from workbench.protocol.artifacts import ExportResult, VerifyResult
    from workbench.protocol.failures import Failure
    from workbench.protocol.inside import Paused
    from workbench.protocol.matrix import Matrix
    from workbench.protocol.memory import Counterfactual, Leak, MemoryAccount, MemoryMark, MemorySample
    from workbench.protocol.messages import Progress, WorkerDied, WorkerReady
    from workbench.protocol.model import ModelInfo, Modes, Recipe
    from workbench.protocol.runs import RunRow

ROWS_KEPT = 5000
SAMPLES_KEPT = 6000
LOG_KEPT = 2000
UNDO_KEPT = 200


@dataclass
class OpenJob:
    """A request that has not ended."""

    number: int
    name: str
    """Type of the request: "Fire", "Export" …"""
    started: float
    """Clock of the event loop, seconds."""
    progress: Progress | None = None
    recipe: Recipe | None = None
    """The model that the request names, if it names one."""
    on_bench: bool = False
    """It waits for the bench worker, which works on one after another."""


@dataclass(frozen=True)
class Pause:
    """A job that stands still at a breakpoint."""

    event: Paused
    job: int
    """Its number."""
    since: float
    """Clock of the event loop, seconds."""


@dataclass
class State:
    """Everything a face may want to draw."""

    engine: str = "starting"
    """"starting", "ready", "dead" (the bench worker) or "gone" (the supervisor, and everything it started)."""
    gone: Failure | None = None
    """Why the engine is gone; set while `engine` is "gone" and never else."""
    ready: WorkerReady | None = None
    died: WorkerDied | None = None
    recipe: Recipe | None = None
    info: ModelInfo | None = None
    modes: Modes | None = None
    rows: dict[int, RunRow] = field(default_factory=dict)
    reference: int = 0
    leak: Leak | None = None
    sample: MemorySample | None = None
    samples: collections.deque[MemorySample] = field(default_factory=lambda: collections.deque(maxlen=SAMPLES_KEPT))
    marks: collections.deque[MemoryMark] = field(default_factory=lambda: collections.deque(maxlen=SAMPLES_KEPT))
    log: collections.deque[tuple[str, str]] = field(default_factory=lambda: collections.deque(maxlen=LOG_KEPT))
    """(role, line)."""
    jobs: dict[int, OpenJob] = field(default_factory=dict)
    paused: Pause | None = None
    """A job stands still at a breakpoint."""
    former_inputs: collections.deque[Recipe] = field(default_factory=lambda: collections.deque(maxlen=UNDO_KEPT))
    """Recipes before each change of the inputs, the newest last."""
    undo: collections.deque[Modes] = field(default_factory=lambda: collections.deque(maxlen=UNDO_KEPT))
    """Modes to go back to, the newest last."""
    yardstick: str = "tolerance"
    """Kind of the yardstick the rows are judged with, as the bench worker says."""
    noise_asked: int = -1
    """The epoch in which eager's noise was last asked for, whatever came of it."""
    epoch: int = 0
    """Grows with every load and every change of dtype or device: what was measured in an older one is of no use."""
    exports: dict[str, ExportResult] = field(default_factory=dict)
    """Last export of each kind."""
    account: MemoryAccount | None = None
    """What the bench worker's memory was last seen to be used for."""
    counterfactual: Counterfactual | None = None
    """The same runs under the other grad mode, as last measured."""
    matrix: Matrix | None = None
    """The newest mode matrix of the model that is open, growing while it is measured."""
    verified: dict[str, VerifyResult] = field(default_factory=dict)
    """Last verification of each path."""

    @property
    def running(self) -> tuple[OpenJob, ...]:
        """What a cancel without a number ends, in this order; what comes last is what is worked on.

        A line for the console of a job that stands still comes before that job. While the bench fires: that fire, and
        before it the fires that wait, so that none of them begins. Else the
        oldest job; the start or the end of a worker only where nothing else is open.
        """
        jobs = [*self.jobs.values()]
        if self.paused is not None:
            lines = [job for job in jobs if job.name == "Evaluate" and job.number > self.paused.job]
            if lines:
                return tuple(lines[:1])
        bench = next((job for job in jobs if job.on_bench), None)
        if bench is not None and bench.name == "Fire":
            return tuple(job for job in reversed(jobs) if job.name == "Fire")
        return tuple(([job for job in jobs if job.name not in ("Start", "Kill")] or jobs)[:1])

    @property
    def last_run(self) -> RunRow | None:
        """The newest row."""
        return self.rows[max(self.rows)] if self.rows else None
