"""The flow of a verification: the bytes that were trusted are copied, and the copy is proven.

Nothing is loaded when a digest is not the one that somebody said yes to, and nothing but the private copy is loaded.
"""

from __future__ import annotations

import hashlib
import os
import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any

from workbench.protocol.artifacts import Made, Proof, VerifyResult
from workbench.protocol.codec import plain
from workbench.protocol.failures import WorkbenchError, error
from workbench.protocol.files import staging, write_bytes
from workbench.protocol.messages import MakeGolden, Prove, Verify
from workbench.protocol.runs import Yardstick

from .bundles import copy_files, manifest_bytes
from .ephemeral import Flow, in_thread
from .export import (
    absolute_python,
    clean_proof,
    empty_directory,
    expect,
    failed_place,
    prove,
    provisional,
    publish,
    seal,
)
from .fingerprint import MANIFEST, parse_manifest, read_manifest_bytes

COUNTEREXAMPLE = "counterexample"
"""Kind of the case that a search found, and id of the finding that tells of it."""

SCRIPT = "counterexample.py"

CHECKPOINT = "checkpoint.safetensors"


async def verify(request: Verify, flow: Flow) -> VerifyResult:
    """Prove a bundle, or an artifact that somebody else made against `request.recipe`. Raises `WorkbenchError`."""
    path = Path(os.path.abspath(request.path))
    with empty_directory() as private:
        if request.recipe is None:
            kind, proof = await _bundle(request, path, Path(private), flow)
            return VerifyResult(request.path, kind, proof, flow.seconds)
        made = await _foreign(request, path, Path(private), flow)
        proof = await prove(request, Path(private), made, flow)
        proof, kept = await _kept(request, Path(private), made, proof, flow)
        proof = replace(proof, findings=(*made.findings, *proof.findings))  # what golden data was not made, above all
    return VerifyResult(request.path, made.kind, proof, flow.seconds, kept)


async def _bundle(request: Verify, path: Path, private: Path, flow: Flow) -> tuple[str, Proof]:
    if path.is_file():
        raise error(
            "usage",
            f"{path} is a single file and brings no golden data to be proven with.",
            str(path),
            "Name the model it was made from with --against, or verify a whole bundle.",
        )
    data = read_manifest_bytes(path)
    require(request, hashlib.sha256(data).hexdigest(), path / MANIFEST)
    manifest = parse_manifest(path, data)
    flow.progress("making a private copy")
    await in_thread(copy_files, path, private)
    write_bytes(private / MANIFEST, with_tolerance(path, data, manifest, request.tolerance))
    wanted = Prove(str(private), (), request.device, request.threads, metrics=request.metrics)
    return manifest["kind"], await clean_proof(flow, wanted, request.python, request.timeout)


async def _foreign(request: Verify, path: Path, private: Path, flow: Flow) -> Made:
    """The artifact with golden data for it in `private`, ready to be proven."""
    if request.runner is None and path.is_dir():
        words = f"{path} is a bundle, which brings its own golden data."
        raise error("usage", words, "--against", "Leave --against out, or name the artifact inside the bundle.")
    assert request.recipe is not None
    wanted = MakeGolden(
        request.recipe,
        str(path) if request.runner is None else "",
        request.sha256,
        str(private),
        request.device,
        request.dtype,
        request.threads,
        request.tolerance,
        request.kind,
        request.runner,
        search=request.search,
        state=request.state,
    )
    python = absolute_python(request.python)
    made: Made = expect(await flow.run("golden", wanted, python=python, timeout=request.timeout), Made)
    if request.runner is None:
        require(request, made.sha256, path)
    await provisional(private, made)
    return made


async def _kept(request: Verify, private: Path, made: Made, proof: Proof, flow: Flow) -> tuple[Proof, str]:
    """Publish a counterexample as a refused bundle: (the proof that says where it is, that place; "" for none).

    A place that cannot be written to spoils no verdict: then the proof says that.
    """
    found = any(case.get("kind") == COUNTEREXAMPLE for case in made.manifest.get("cases") or ())
    if not found or all(row.status != "fail" for row in proof.checks):
        return proof, ""
    if not request.keep:
        return _remedied(proof, "Add --keep DIR to have it as a case and as a script."), ""
    target = Path(os.path.abspath(request.keep))
    place = failed_place(target)
    try:
        with staging(target) as stage:
            await in_thread(copy_files, private, stage)
            (stage / CHECKPOINT).unlink(missing_ok=True)  # for naming what is wrong; the manifest has its digests
            await seal(stage, made, proof, flow)
            await publish(stage, place, True, flow)
    except WorkbenchError as problem:
        if problem.failure.kind not in ("write", "exists"):
            raise
        return _remedied(proof, f"It is not kept: {problem.failure.message} Name another place with --keep DIR."), ""
    return _remedied(proof, f"python {shlex.quote(str(place / SCRIPT))} shows both answers."), str(place)


def _remedied(proof: Proof, remedy: str) -> Proof:
    found = tuple(replace(one, remedy=remedy) if one.id == COUNTEREXAMPLE else one for one in proof.findings)
    return replace(proof, findings=found)


def require(request: Verify, digest: str, path: Path) -> None:
    """Raises `WorkbenchError("trust")` when `digest` is not the one that was trusted."""
    if digest != request.sha256:
        raise error(
            "trust",
            f"{path} is not what was trusted: its sha256 is {digest[:16]}…, not {request.sha256[:16]}…. "
            "Nothing of it was loaded.",
            str(path),
            "Look at it again, and say yes to what it is now.",
        )


def with_tolerance(path: Path, data: bytes, manifest: dict[str, Any], tolerance: float) -> bytes:
    """The manifest's bytes with the yardstick that --tolerance gives; the very same when there is none.

    Raises `WorkbenchError("artifact")` for one that cannot be written again.
    """
    if tolerance <= 0:
        return data
    given = Yardstick("given", tolerance=tolerance, reason="--tolerance")
    try:
        return manifest_bytes({**manifest, "yardstick": plain(given)})
    except RecursionError as problem:
        raise error("artifact", f"The manifest of {path} is nested too deep.", str(path / MANIFEST)) from problem
