"""The flow of an export: made in one worker, proven in another, and only then given its name.

Owns the order (stage, artifact, proof, report, digests, manifest, rename) and what is published where. A target never
holds half a bundle: everything happens in a directory beside it that is removed unless it was renamed.
"""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from workbench.protocol import files
from workbench.protocol.artifacts import KINDS, MANIFEST_SCHEMA, ExportResult, Finding, Made, Proof
from workbench.protocol.codec import plain
from workbench.protocol.died import FATAL, died_of_it
from workbench.protocol.failures import Failure, WorkbenchError, error
from workbench.protocol.messages import Export, MakeArtifact, Prove, Verify
from workbench.report.bundle import render_report

from .bundles import hash_files, is_refused, write_manifest
from .ephemeral import Flow, WorkerLost, finish, in_thread

REPORT = "report.md"


async def export(request: Export, flow: Flow) -> ExportResult:
    """Make, prove and publish. Raises `WorkbenchError`; then nothing is left behind."""
    target = Path(os.path.abspath(request.out))
    refuse(request, target)
    with files.staging(target) as stage:
        made = await make(request, stage, flow)
        await provisional(stage, made)
        proof = await prove(request, stage, made, flow)
        digest = await seal(stage, made, proof, flow)
        published = proof.verdict == "pass"
        place = target if published else failed_place(target)
        await publish(stage, place, not published, flow)
    return ExportResult(request.kind, str(place), published, digest, made, proof, flow.seconds)


def refuse(request: Export, target: Path) -> None:
    """Raises `WorkbenchError` for what must not even begin."""
    if request.kind not in KINDS:
        raise error(
            "usage", f"There is no artifact kind {request.kind!r}.", "--to", f"Choose one of {', '.join(KINDS)}."
        )
    if os.path.lexists(target):
        raise error("exists", f"{target} is there already.", str(target), "Choose another --out, or move it away.")
    if request.training and not request.force:
        raise error(
            "usage",
            "An artifact made in train mode keeps dropout and batch statistics active for ever: it answers differently "
            "each time, changes with what it is fed, and its own eval() does not help.",
            "--mode train",
            "Export in eval mode, or add --force if that is what you want.",
        )


async def seal(stage: Path, made: Made, proof: Proof, flow: Flow) -> str:
    """Write report and final manifest; the sha256 of the manifest."""
    flow.progress("writing report and manifest")
    files.write_text(stage / REPORT, render_report(made, proof))
    digests = await in_thread(hash_files, stage)
    manifest = {**made.manifest, "schema": MANIFEST_SCHEMA, "files": digests, "proof": plain(proof)}
    return hashlib.sha256(write_manifest(stage, manifest)).hexdigest()


async def publish(stage: Path, place: Path, over: bool, flow: Flow) -> None:
    """Give the bundle its name, `over` what has it already. Once begun it is not cancelled: its end alone decides
    whether the bundle exists."""
    flow.progress("publishing")
    await finish(asyncio.to_thread(files.publish, stage, place, over), swallow=True)


def failed_place(target: Path) -> Path:
    """Where a bundle goes whose proof said no: a new name, or that of an older one of the kind, which it replaces."""
    for number in itertools.count(1):
        place = target.with_name(f"{target.name}.failed{f'-{number}' if number > 1 else ''}")
        if not os.path.lexists(place) or is_refused(place):
            return place
    raise AssertionError("numbers do not end")


async def make(request: Export, stage: Path, flow: Flow) -> Made:
    """The artifact and its golden data in `stage`."""
    wanted = MakeArtifact(
        request.recipe,
        request.kind,
        str(stage),
        request.state,
        request.training,
        request.device,
        request.dtype,
        request.threads,
        request.tolerance,
        request.search,
    )
    python = absolute_python(request.python)
    made: Made = expect(await flow.run("export", wanted, python=python, timeout=request.timeout), Made)
    return made


async def provisional(stage: Path, made: Made) -> None:
    """The manifest that the proof reads; the final one has the digests of everything and the proof itself."""
    digests = await in_thread(hash_files, stage)
    write_manifest(stage, {**made.manifest, "schema": MANIFEST_SCHEMA, "made": digests})


async def prove(request: Any, stage: Path, made: Made, flow: Flow) -> Proof:
    """The proof of what is in `stage`, by a clean worker; `request` is an `Export` or a `Verify`."""
    blocked = tuple(made.manifest.get("blocked") or ())
    wanted = Prove(str(stage), blocked, request.device, request.threads, staged=True)
    if isinstance(request, Verify):
        wanted = replace(wanted, runner=request.runner, metrics=request.metrics)
    return await clean_proof(flow, wanted, request.python, request.timeout)


async def clean_proof(flow: Flow, wanted: Prove, python: str, timeout: float) -> Proof:
    """Prove in an isolated interpreter whose current directory is empty.

    A verdict that is there stands when the search for its reasons takes too long, or the worker dies of that.
    """
    interpreter = absolute_python(python)
    judged: list[Proof] = []

    def on_event(body: Any) -> None:
        if isinstance(body, Proof):
            judged.append(body)

    with empty_directory() as nowhere:
        try:
            answer = await flow.run(
                "proof", wanted, python=interpreter, isolated=True, cwd=nowhere, timeout=timeout, on_event=on_event
            )
        except WorkbenchError as problem:
            if judged and problem.failure.kind in ("timeout", "engine"):
                return _unexplained(judged[-1], problem.failure)
            if not isinstance(problem, WorkerLost) or problem.died.code not in FATAL:
                raise
            return died_of_it(problem.died.cause, flow.seconds)
    proof: Proof = expect(answer, Proof)
    return proof


def _unexplained(proof: Proof, failure: Failure) -> Proof:
    """A verdict whose reasons were not found in time."""
    words = f"the reason was not looked for to its end: {failure.message}"
    remedy = "Raise --timeout to have it looked for." if failure.kind == "timeout" else ""
    return replace(proof, findings=(*proof.findings, Finding("reason", words, remedy)))


def absolute_python(python: str) -> str:
    """`--python` as seen from another directory; links stay, for a virtual environment is found through them."""
    return os.path.abspath(python) if os.sep in python else (shutil.which(python) or python) if python else ""


@contextmanager
def empty_directory() -> Iterator[str]:
    """A fresh directory with nothing in it, removed afterwards. Raises `WorkbenchError("write")`."""
    try:
        directory = tempfile.mkdtemp(prefix="workbench-")
    except OSError as problem:
        reason = problem.strerror or str(problem)
        words = f"Could not make a temporary directory: {reason}."
        raise error("write", words, tempfile.gettempdir(), "Free some space there, or set TMPDIR.") from problem
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def expect(record: Any, kind: type) -> Any:
    """`record` when it is what was asked for. Raises `WorkbenchError("engine")`."""
    if not isinstance(record, kind):
        raise error("engine", f"The worker answered with {type(record).__name__} where {kind.__name__} was due.")
    return record
