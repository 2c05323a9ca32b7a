"""The worker's handler of `Prove`: the proof of prove.py, in a process that has nothing of the model's.

Adds only what a worker has beyond a bundle's own verify.py: progress, and the architecture snapshot of weights.
"""

from __future__ import annotations

from pathlib import Path

from workbench.protocol.artifacts import Proof
from workbench.protocol.messages import Prove
from workbench.worker.artifact import prove as proving
from workbench.worker.job import Job


def prove(request: Prove, job: Job) -> Proof:
    """Prove what is staged; every fault of the artifact ends in the `Proof`. Raises `Cancelled` only."""
    stage = Path(request.stage)
    return proving.prove(
        stage,
        blocked=request.blocked or None,
        device=request.device or "cpu",
        threads=request.threads,
        architecture=_snapshot(stage),
        progress=lambda phase, done, total: job.progress(phase, done, total),
    )


def _snapshot(stage: Path) -> str:
    """What builds the architecture of weights: the source in the bundle, or the package it came from; "" otherwise."""
    try:
        manifest = proving.read_manifest(stage)
    except ValueError:
        return ""  # the proof itself says what is wrong with it
    built = manifest.get("architecture")
    if manifest["kind"] != "weights" or not isinstance(built, dict):
        return ""
    if built.get("file") and built.get("name"):
        return f"{built['file']}:{built['name']}"
    return str(built.get("target") or "") if built.get("package") else ""
