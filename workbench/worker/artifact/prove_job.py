"""The worker's handler of `Prove`: the proof of prove.py, in a process that has nothing of the model's.

Adds only what a worker has beyond a bundle's own verify.py: progress, and the architecture snapshot of weights.
"""

from __future__ import annotations

import dataclasses
import functools
import time
from pathlib import Path
from typing import Any

from workbench.protocol.artifacts import CheckRow, Finding, Proof
from workbench.protocol.messages import Prove
from workbench.protocol.proven import check_verdict
from workbench.worker.artifact import prove as proving
from workbench.worker.artifact.loading import Opened
from workbench.worker.artifact.manifest import architecture_target, read_manifest
from workbench.worker.artifact.naming import name_faults
from workbench.worker.artifact.runner import open_runner
from workbench.worker.job import Cancelled, Job, OutOfTime
from workbench.worker.judge.metrics import Metrics

REASON_SECONDS = 60.0
"""For the reasons of one refusal: after it the artifact is not called any more."""


def prove(request: Prove, job: Job) -> Proof:
    """Prove what is staged; every fault of the artifact ends in the `Proof`. Raises `Cancelled` only.

    The proof of what is refused is also an event of the job, before the reasons are looked for: no time limit takes it.
    """
    stage = Path(request.stage)
    architecture = _architecture(stage, request.staged)
    metrics, runner = Metrics(request.metrics), request.runner
    proof = proving.prove(
        stage,
        blocked=_blocked(request, architecture),
        device=request.device or "cpu",
        threads=request.threads,
        architecture=architecture,
        insist=False,
        progress=lambda phase, done, total: job.progress(phase, done, total),
        staged=request.staged,
        explain=functools.partial(_reasons, job),
        opener=None if runner is None else lambda place, manifest: open_runner(runner, place, manifest, job),
        watch=metrics.observe,
        judged=lambda judged: job.emit(_measured(judged, metrics)),
    )
    return _measured(proof, metrics)


def _measured(proof: Proof, metrics: Metrics) -> Proof:
    """The proof with a person's own numbers: their rows vote like the others."""
    checks = (*proof.checks, *metrics.rows(reached=proof.verdict == "pass"))
    return dataclasses.replace(
        proof,
        verdict=check_verdict(checks),
        checks=checks,
        findings=(*proof.findings, *metrics.findings()),
    )


def _reasons(job: Job, stage: Path, opened: Opened, *found: Any) -> tuple[dict[str, CheckRow], tuple[Finding, ...]]:
    """What `name_faults` says. What cannot be looked into makes the verdict no other."""
    asked = _Limited(opened, job)
    limited = opened if opened.call is None else dataclasses.replace(opened, call=asked)
    try:
        named, findings = name_faults(stage, limited, *found)
        return named, (*findings, *asked.findings())
    except Cancelled:
        raise
    except Exception as problem:  # noqa: BLE001 (artifacts of others have surprises; the rows stand as they are)
        words = f"the reason could not be looked into: {type(problem).__name__}: {problem}"
        return {}, asked.findings() or (Finding("reason", words),)


class _Limited:
    """The artifact, which raises `OutOfTime` once the seconds for the reasons are over, and `Cancelled`."""

    def __init__(self, opened: Opened, job: Job) -> None:
        self._opened, self._job, self._out = opened, job, False
        self._until = time.monotonic() + REASON_SECONDS

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        self._job.raise_if_cancelled()
        if time.monotonic() > self._until:
            self._out = True
            raise OutOfTime
        return self._opened.call(*args, **kwargs) if self._opened.call is not None else None

    def findings(self) -> tuple[Finding, ...]:
        words = f"the reason was looked for no longer than {REASON_SECONDS:.0f} s, for it takes long to answer"
        return (Finding("reason", words),) if self._out else ()


def _blocked(request: Prove, architecture: str) -> tuple[str, ...] | None:
    """What must not be importable; a package that weights are built with is needed and cannot be blocked."""
    place = architecture.rpartition(":")[0]
    if place and not place.endswith(".py"):
        return tuple(one for one in request.blocked if one != place.split(".")[0])
    return request.blocked or None


def _architecture(stage: Path, staged: bool) -> str:
    """What builds the architecture of weights: the source in the bundle, or the package it came from; "" otherwise."""
    try:
        manifest = read_manifest(stage, staged)
    except ValueError:
        return ""  # the proof itself says what is wrong with it
    return architecture_target(manifest)
