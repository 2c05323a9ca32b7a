"""How each event changes the state: the one place where what the engine says becomes what the face knows."""

from __future__ import annotations

import dataclasses

from workbench.protocol.artifacts import ExportResult, VerifyResult
from workbench.protocol.codec import Envelope
from workbench.protocol.memory import Leak, MemoryMark, MemorySample
from workbench.protocol.messages import Loaded, LogLines, ModesNow, Progress, WeightsHashed, WorkerDied, WorkerReady
from workbench.protocol.runs import RunRow

from .state import ROWS_KEPT, State


def take(state: State, envelope: Envelope) -> None:
    """Put one event, or one result record, into `state`."""
    match envelope.body:
        case WorkerReady(role="bench"):
            state.engine, state.ready, state.died = "ready", envelope.body, None
        case WorkerDied(role="bench"):
            _died(state, envelope.body)
        case Loaded():
            _loaded(state, envelope.body)
        case WeightsHashed(path=path, sha256=sha256) if state.info is not None and state.info.weights == path:
            state.info = dataclasses.replace(state.info, weights_sha256=sha256)
        case ModesNow():
            state.modes = envelope.body.modes
        case RunRow():
            _row(state, envelope.body)
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
        case ExportResult():
            state.exports[envelope.body.kind] = envelope.body
        case VerifyResult():
            state.verified[envelope.body.path] = envelope.body
        case _:
            return


def start_failed(state: State) -> None:
    """A start ended with a failure; the state stays as it is when another start is still open."""
    if state.engine == "starting" and not any(job.name == "Start" for job in state.jobs.values()):
        state.engine, state.ready = "dead", None


def _died(state: State, died: WorkerDied) -> None:
    if died.expected and state.engine == "starting":
        return  # the old one makes room for the one that starts
    state.engine, state.ready, state.died = "dead", None, died


def _loaded(state: State, loaded: Loaded) -> None:
    if not loaded.keep_runs:
        state.rows.clear()
        state.reference, state.leak, state.yardstick = 0, None, "tolerance"
    state.info, state.modes = loaded.info, loaded.modes


def _row(state: State, row: RunRow) -> None:
    state.rows[row.run] = row
    if row.reference:
        state.reference = row.run
    while len(state.rows) > ROWS_KEPT:
        del state.rows[min(state.rows)]
