"""How each event changes the state: the one place where what the engine says becomes what the face knows."""

from __future__ import annotations

import dataclasses
import time

from workbench.protocol.artifacts import ExportResult, VerifyResult
from workbench.protocol.codec import Envelope
from workbench.protocol.failures import Failure
from workbench.protocol.inside import Paused, Resumed
from workbench.protocol.matrix import Matrix
from workbench.protocol.memory import Counterfactual, Leak, MemoryAccount, MemoryMark, MemorySample
from workbench.protocol.messages import (
    Loaded,
    LogLines,
    ModesNow,
    Progress,
    WeightsHashed,
    WorkerDied,
    WorkerReady,
    YardstickNow,
)
from workbench.protocol.model import Modes, Recipe
from workbench.protocol.runs import RunRow

from .state import ROWS_KEPT, Pause, State

CUT_OFF = "cut off: its worker ended"
"""Note of a row whose last report never came."""


def take(state: State, envelope: Envelope, recipe: Recipe | None = None) -> None:
    """Put one event, or one result record, into `state`; `recipe`: the one that the request of a result named."""
    match envelope.body:
        case WorkerReady(role="bench"):
            if state.engine != "ready":
                state.yardstick = "tolerance"  # what a fresh worker judges by
            state.engine, state.ready, state.died = "ready", envelope.body, None
        case WorkerDied(role="bench"):
            _died(state, envelope.body)
        case Loaded():
            _loaded(state, envelope.body, recipe)
        case WeightsHashed(path=path, sha256=sha256) if state.info is not None and state.info.weights == path:
            state.info = dataclasses.replace(state.info, weights_sha256=sha256)
        case ModesNow():
            _modes(state, envelope.body.modes)
        case YardstickNow():
            state.yardstick = envelope.body.kind
        case RunRow():
            _row(state, envelope.body)
        case Paused() if envelope.job is not None:
            state.paused = Pause(envelope.body, envelope.job, time.monotonic())
        case Resumed():
            state.paused = None
        case Leak():
            state.leak = envelope.body
        case MemorySample(role="bench"):
            state.sample = envelope.body
            state.samples.append(envelope.body)
        case MemoryMark():
            state.marks.append(envelope.body)
        case LogLines():
            state.log.extend((envelope.body.role, line) for line in envelope.body.lines)
            if envelope.body.dropped:
                state.log.append((envelope.body.role, f"… {envelope.body.dropped} lines left out"))
        case Progress() if envelope.job in state.jobs:
            state.jobs[envelope.job].progress = envelope.body
        case ExportResult() if recipe is None or state.recipe in (None, recipe):  # else of a model that was left
            state.exports[envelope.body.kind] = envelope.body
        case MemoryAccount():
            state.account = envelope.body
        case Counterfactual() if _of_this_model(state, envelope.job, recipe):
            state.counterfactual = envelope.body
        case Matrix() if _of_this_model(state, envelope.job, recipe):
            state.matrix = envelope.body
        case VerifyResult():
            state.verified[envelope.body.path or "command"] = envelope.body
        case _:
            return


def _of_this_model(state: State, job: int | None, recipe: Recipe | None) -> bool:
    """Whether what a worker of its own says is about the model that is open; `recipe` is known for results alone."""
    open_job = state.jobs.get(job) if job is not None else None
    about = recipe if recipe is not None else open_job.recipe if open_job is not None else None
    return about is None or state.recipe in (None, about)


def start_failed(state: State) -> None:
    """A start ended with a failure; the state stays as it is when another start is still open."""
    if state.engine == "starting" and not any(job.name == "Start" for job in state.jobs.values()):
        state.engine, state.ready = "dead", None


def engine_gone(state: State, failure: Failure) -> None:
    """The supervisor ended, and with it every worker and every job."""
    state.engine, state.gone = "gone", failure
    state.ready = state.died = state.paused = state.sample = None
    state.jobs.clear()


def engine_renewed(state: State) -> None:
    """Another supervisor was started; a bench worker is what it is asked for first."""
    state.engine, state.gone = "starting", None


def end_rows(state: State) -> list[RunRow]:
    """Rows that were running when their worker ended, marked as ended; they get no further report."""
    ended = [
        dataclasses.replace(row, running=False, note="; ".join(part for part in (row.note, CUT_OFF) if part))
        for row in state.rows.values()
        if row.running
    ]
    state.rows.update({row.run: row for row in ended})
    return ended


def _died(state: State, died: WorkerDied) -> None:
    state.paused = None
    if died.expected and state.engine == "starting":
        return  # the old one makes room for the one that starts
    state.engine, state.ready, state.died = "dead", None, died


def _loaded(state: State, loaded: Loaded, recipe: Recipe | None) -> None:
    """The recipe and the model change in one step, whether or not somebody still waits for the result."""
    state.epoch += 1
    if recipe is not None and recipe != state.recipe:
        state.recipe = recipe
        state.exports.clear()
        state.verified.clear()
    if not loaded.keep_runs:
        state.rows.clear()
        state.undo.clear()
        state.former_inputs.clear()
        state.reference, state.leak, state.matrix = 0, None, None
        state.account = state.counterfactual = None
    _modes(state, loaded.modes)
    state.info = loaded.info


def _modes(state: State, modes: Modes) -> None:
    """Noise belongs to the dtype and device that it was measured in: what was asked for another is not this one's."""
    before, state.modes = state.modes, modes
    if before is None or (before.dtype, before.device) == (modes.dtype, modes.device):
        return
    state.epoch += 1


def _row(state: State, row: RunRow) -> None:
    state.rows[row.run] = row
    if row.reference:
        state.reference = row.run
    while len(state.rows) > ROWS_KEPT:
        del state.rows[min((run for run, kept in state.rows.items() if not kept.pinned), default=min(state.rows))]
