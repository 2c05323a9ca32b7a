"""The flow of a verification: the bytes that were trusted are copied, and the copy is proven.

Nothing is loaded when a digest is not the one that somebody said yes to, and nothing but the private copy is loaded.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

from workbench.protocol.artifacts import Made, Proof, VerifyResult
from workbench.protocol.codec import plain
from workbench.protocol.failures import error
from workbench.protocol.files import write_bytes
from workbench.protocol.messages import MakeGolden, Prove, Verify
from workbench.protocol.runs import Yardstick

from .bundles import copy_files, manifest_bytes
from .ephemeral import Flow, in_thread
from .export import absolute_python, clean_proof, empty_directory, expect, prove, provisional
from .fingerprint import MANIFEST, parse_manifest, read_manifest_bytes


async def verify(request: Verify, flow: Flow) -> VerifyResult:
    """Prove a bundle, or an artifact that somebody else made against `request.recipe`. Raises `WorkbenchError`."""
    path = Path(os.path.abspath(request.path))
    with empty_directory() as private:
        if request.recipe is None:
            kind, proof = await _bundle(request, path, Path(private), flow)
        else:
            kind, proof = await _foreign(request, path, Path(private), flow)
    return VerifyResult(request.path, kind, proof, flow.seconds)


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


async def _foreign(request: Verify, path: Path, private: Path, flow: Flow) -> tuple[str, Proof]:
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
    )
    python = absolute_python(request.python)
    made: Made = expect(await flow.run("golden", wanted, python=python, timeout=request.timeout), Made)
    if request.runner is None:
        require(request, made.sha256, path)
    await provisional(private, made)
    return made.kind, await prove(request, private, made, flow)


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
