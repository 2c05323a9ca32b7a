"""One of two runs as something that can be run again and again: a model, and where its forward starts.

Owns which model stands for a recorded run: the live one, or one built again from the recipe when the live one was
cast, moved or changed since; then it is only taken when it answers with the very bits that the run answered.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from workbench.protocol.failures import WorkbenchError, error
from workbench.worker.bench.twin import twin
from workbench.worker.job import Job
from workbench.worker.judge.digest import digest
from workbench.worker.judge.held import Snapshot
from workbench.worker.judge.leaves import flatten
from workbench.worker.judge.live import replay
from workbench.worker.judge.records import RECORDS
from workbench.worker.judge.replay import Parts, Record
from workbench.worker.judge.snapshot import untouched_model

if TYPE_CHECKING:
    from workbench.worker.bench.bench import Bench
    from workbench.worker.judge.rows import Row
    from workbench.worker.judge.run import Runs


class Side:
    """A model and a recorded run of it; only inside a snapshot of that model that is put back."""

    def __init__(self, name: str, model: nn.Module, record: Record, snapshot: Snapshot) -> None:
        self.name, self.model, self.parts = name, model, Parts(model)
        self._record, self._snapshot = record, snapshot
        self.after: Side | None = None
        """A run of the same model that comes before it: it begins with the attributes that one leaves."""

    def prepare(self) -> None:
        """Bring the model to where the run began, before anything is hooked in."""
        self._snapshot.restore()
        if self.after is not None:
            self.after.forward()

    def forward(self) -> Any:
        return replay(self.model, self.parts, self._record)


def model_of(bench: Bench, runs: Runs, row: Row, job: Job) -> tuple[nn.Module, str]:
    """The model that stands for a run, and a note on how it came; the live one wherever that is what ran.

    Raises `WorkbenchError("usage")`, with the reason, for a run whose model cannot be had any more.
    """
    record, place = row.record, f"run {row.number}"
    again = "Fire again, and compare with a newer run."
    if record.model() is not bench.model:
        raise error("usage", f"The model was loaded again since run {row.number}: what it was is gone.", place, again)
    if not record.replayable:
        words = f"What run {row.number} started from is no longer kept: only the newest {RECORDS} runs can be replayed."
        raise error("usage", words, place, again)
    if record.inputs_changed():
        words = f"The inputs of run {row.number} were changed in place since, so it cannot be replayed."
        raise error("usage", words, place, "Find out who writes into them with f; in forward, clone them first.")
    if record.weights == Parts(bench.model).weights():
        return bench.model, ""
    if row.number not in runs.store:
        words = f"Parameters were cast, moved or changed since run {row.number}, and its output is no longer kept."
        raise error("usage", words, place, again)
    job.progress(f"building the model of run {row.number} again")
    fresh = twin(bench, record.modes, job)
    with untouched_model(fresh):
        torch.backends.mha.set_fastpath_enabled(True)
        answer = replay(fresh, Parts(fresh), record)
    if digest(flatten(answer)) != digest(runs.store.get(row.number)):
        words = (
            f"Parameters were cast, moved or changed since run {row.number}. Built again from its recipe and its file, "
            "the model answers otherwise than the run did: what it ran on is gone."
        )
        raise error("usage", words, place, again)
    return fresh, f"run {row.number} was built again from the recipe, and answers with the same bits as it did"


def explained(problem: Exception, bench: Bench) -> WorkbenchError:
    """What the user's forward raised, as a failure with its place."""
    from workbench.worker.bench.diagnosis import explain

    return WorkbenchError(explain(problem, bench.model, bench.args, bench.kwargs))
