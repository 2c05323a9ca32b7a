"""What the line above the keys says about the jobs that are open. Pure: a state and a time in, words out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from workbench.client.state import OpenJob, Pause, State
from workbench.protocol.runs import BEYOND, IDENTICAL, NOISE, RunRow
from workbench.report import numbers
from workbench.report.marks import mark_words

if TYPE_CHECKING:
    from workbench.protocol.messages import WorkerBusy
    from workbench.protocol.model import ModeChange, Modes

PATIENCE = 0.5
"""Seconds a job may take before its clock is shown."""

WORDS = {
    "Start": "torch is loading",
    "Load": "loading the model",
    "SetInputs": "making the inputs",
    "SetModes": "changing modes",
    "Restore": "back to the checkpoint",
    "Fire": "firing",
    "GetDiff": "comparing",
    "Compare": "comparing the models",
    "Pin": "pinning",
    "FindDivergence": "replaying both runs, every module watched",
    "MeasureErrors": "measuring the error of every module call",
    "LookInside": "replaying the last run, one module watched",
    "Evaluate": "running what was typed",
    "Complete": "completing",
    "MeasureNoise": "measuring eager's own noise against float64",
    "Check": "checking",
    "SaveState": "writing parameters for another worker",
    "Export": "exporting",
    "Verify": "proving",
    "GetFingerprint": "hashing",
    "Inspect": "looking into the file",
    "Scan": "reading the source",
    "Kill": "ending the worker",
}
"""What a request does, for its clock."""


@dataclass(frozen=True)
class Working:
    """One line about one job."""

    words: str
    clock: str
    share: float | None
    """0 to 1, None where it is not known."""
    hint: str


def working(state: State, now: float, busy: WorkerBusy | None = None) -> Working | None:
    """The job worth showing at `now` (the event loop's clock): what esc ends, once that has taken long enough.

    None: nothing has.
    """
    jobs = [job for job in state.jobs.values() if now - job.started >= PATIENCE or job.name == "Start"]
    if state.paused is not None and state.running[-1:] == tuple(
        job for job in state.jobs.values() if job.number == state.paused.job
    ):
        return paused(state.paused, now)
    if not jobs:
        return None
    job = max(jobs, key=lambda one: (one is state.running[-1], one.progress is not None, one.number))
    words = WORDS.get(job.name, job.name)
    share = None
    if job.progress is not None:
        words = f"{words}: {job.progress.phase}" if job.progress.phase else words
        share = job.progress.done / job.progress.total if job.progress.total > 0 else None
    if job.name == "Fire":
        words = _firing(state, words)
    if busy is not None:
        words = f"{words} ({busy.state} for {busy.seconds:.0f} s)"
    more = len(jobs) - 1
    return Working(words, numbers.clock(now - job.started), share, _hint(job, more))


def paused(pause: Pause, now: float) -> Working:
    """The line of a job that stands still."""
    return Working(
        f"paused at {pause.event.where}", numbers.clock(now - pause.since), None, ": console · esc aborts it"
    )


def switched(modes: Modes, change: ModeChange) -> str:
    """What a change of modes came to: only what it was about."""
    words = []
    if change.module is not None and change.module_training is not None:
        words.append(f"{change.module or 'the whole model'}: {'train' if change.module_training else 'eval'}")
    if change.training is not None or change.module is not None or change.grad is not None:
        words.append(f"{modes.training_word} · {modes.grad}")
    if change.rng is not None or change.seed is not None:
        words.append(f"every run begins with seed {modes.seed}" if modes.rng == "fixed" else "generators run free")
    if change.dtype is not None:
        words.append(modes.dtype or "dtype as loaded")
    if change.device is not None:
        words.append(modes.device)
    if change.threads is not None:
        words.append(f"{modes.threads} threads" if modes.threads else "threads as torch chooses")
    if change.keep_outputs is not None:
        kept = "every output is kept, as `total += loss` does" if modes.keep_outputs else "outputs are let go again"
        words.append(kept)
    return " · ".join(words)


def summary(row: RunRow, chosen: int = 0) -> tuple[str, str]:
    """What a finished run came to, and the severity to say it with; `chosen`: the run that a person went to, if any."""
    name = f"#{row.run}" + (f" ×{row.count}" if row.count > 1 else "")
    note = f"; {row.note}" if row.note else ""
    if row.mark == IDENTICAL:
        return f"{name} is identical to #{row.against}{note}", "good"
    if row.mark == NOISE:
        within = mark_words(row.mark, row.yardstick)
        return f"{name} is {within} of #{row.against}: max|Δ| {numbers.measure(row.max_abs)}{note}", "good"
    if row.mark == BEYOND and row.against == row.run:
        differs = (
            f"{row.differing} of {row.compared} runs differ from its first, by up to {numbers.measure(row.max_abs)}"
        )
        return f"{name} does not repeat: {differs}{note}", "warning"
    if row.mark == BEYOND and not row.mismatched:  # no two numbers to compare: another dtype, shape or structure
        return f"{name} is not what #{row.against} was: {row.note or row.cause or 'another structure'}", "warning"
    if row.mark == BEYOND:
        differs = f"max|Δ| {numbers.measure(row.max_abs)}, {row.mismatched} of {row.elements} differ"
        return f"{name} is not what #{row.against} was: {differs}{note}; {_finds(row, chosen)}", "warning"
    if row.reference:
        return f"{name} is the reference; space fires again{note}", "information"
    if row.cause == "other inputs":
        return (
            f"{name} ran on other inputs than #{row.against}: not comparable; b makes it the reference",
            "information",
        )
    return f"{name} cannot be compared{note}", "warning"


def _finds(row: RunRow, chosen: int) -> str:
    """What f does now: it is about the run that was chosen, and else about this one."""
    return (
        "f finds where they part" if chosen in (0, row.run) else f"f finds where #{chosen} parts, end goes to this one"
    )


def dead_line(state: State) -> str:
    """The red line of a dead worker, or of an engine that is gone; empty while they live. The key comes first."""
    if state.gone is not None:
        return f"K starts a new one · {state.gone.message.rstrip('.')}"
    if state.engine != "dead":
        return ""
    if state.died is None:
        return "K starts a fresh one · no worker runs"
    during = f" during {state.died.during}" if state.died.during else ""
    how = "the worker was ended" if state.died.expected else f"the worker died{during}: {state.died.cause}"
    return f"K starts a fresh one · {how}"


def _firing(state: State, words: str) -> str:
    row = state.last_run
    return f"firing #{row.run} ×{row.count}" if row is not None and row.running else words


def _hint(job: OpenJob, more: int) -> str:
    hint = "" if job.name in ("Start", "Kill") else "esc stops" if job.name == "Fire" else "esc cancels"
    return f"{hint}  +{more} more" if more else hint
