"""Makes what a bundle consists of: artifact, golden data, verify.py, and the worker's part of the manifest.

Owns the order of these steps and nothing of any kind. Writes into the staging directory only; whoever staged it
writes the manifest, proves what is there, and publishes.
"""

from __future__ import annotations

import dataclasses
import platform
import time
from pathlib import Path
from typing import Any

import torch

from workbench import __version__
from workbench.protocol import files
from workbench.protocol.artifacts import KINDS, MANIFEST_SCHEMA, Finding, Made, Speed
from workbench.protocol.codec import plain
from workbench.protocol.failures import error
from workbench.protocol.messages import MakeArtifact, MakeGolden
from workbench.protocol.model import ModeChange, Modes, Recipe
from workbench.worker.artifact import aoti, export, foreign, onnx, trace, weights
from workbench.worker.artifact.architecture import architecture_of, blocked_sources
from workbench.worker.artifact.clean import file_sha256
from workbench.worker.artifact.contract import GUARDING
from workbench.worker.artifact.counterexample import keep
from workbench.worker.artifact.golden import GoldenPart, make_golden_data
from workbench.worker.artifact.inspect_pt2 import batch_range, package_machine, program_torch
from workbench.worker.artifact.naming_weights import CHECKPOINT, kept
from workbench.worker.artifact.parameters import describe_tensors
from workbench.worker.artifact.search import search
from workbench.worker.artifact.searched import Searched
from workbench.worker.artifact.speed import measure_speed
from workbench.worker.artifact.subject import Artifact, Subject, subject_of
from workbench.worker.artifact.trace import save_or_raise
from workbench.worker.artifact.verify_text import verify_text
from workbench.worker.bench.load import Built, build
from workbench.worker.bench.modes import apply, read_modes
from workbench.worker.job import Job
from workbench.worker.judge.snapshot import untouched_model
from workbench.worker.judge.verdict import for_compiled
from workbench.worker.tensorfile import save

MAKERS = {"weights": weights.make, "trace": trace.make, "export": export.make, "aoti": aoti.make, "onnx": onnx.make}

_UNAVAILABLE = {"aoti": aoti.unavailable, "onnx": onnx.unavailable}
"""Kinds that need more than torch → what says why this machine cannot make them."""

_INSTALL = {
    "aoti": "Install g++ or clang++, or use --to export.",
    "onnx": "pip install 'pytorch-workbench[onnx]' (onnxruntime-gpu for a GPU), or use --to export.",
}


_NATIVE = "native code of others is not run beside the model, whose process it might end; the fixed cases were asked"
"""Why an AOTInductor package of somebody else's is not searched."""

_BY_PLACE = ("onnx", "runner")
"""Kinds that answer with a plain list of tensors."""


def make_artifact(request: MakeArtifact, job: Job) -> Made:
    """Build the recipe and write artifact, golden data and verify.py into `request.stage`.

    Raises `WorkbenchError`: what building raises, "export" for what the kind cannot do, "write", "usage".
    """
    if request.kind not in KINDS:
        message = f"There is no artifact kind {request.kind!r}."
        raise error("usage", message, "--to", f"Use one of {', '.join(KINDS)}.")
    if request.kind in _UNAVAILABLE and (why := _UNAVAILABLE[request.kind](request.device or "cpu")):
        raise error("usage", f"{why[:1].upper()}{why[1:]}.", "--to", _INSTALL[request.kind])
    stage = Path(request.stage)
    built, modes = _prepare(request, job, request.state, request.training)
    parameters = describe_tensors(_parameters(built.model, request.kind))
    subject = subject_of(built.model, built.example, request.recipe.seed, request.training)
    started = time.perf_counter()
    artifact = MAKERS[request.kind](subject, stage, job)
    seconds = time.perf_counter() - started
    speed = _speed(subject, artifact, job)
    artifact.call = None  # with it goes a copy of the weights: the float64 twin needs the room
    by_place = request.kind in _BY_PLACE
    guarded = request.kind in GUARDING and not request.training
    golden = make_golden_data(
        subject, stage, job, artifact.batch_range, request.tolerance, by_place=by_place, guarded=guarded
    )
    files.write_text(stage / "verify.py", verify_text())
    architecture = architecture_of(built.recipe, built, stage if request.kind == "weights" else None)
    manifest = _manifest(request.kind, built.recipe, built, modes, golden, artifact, stage)
    manifest.update(parameters=parameters, architecture=architecture, blocked=blocked_sources(built, request.kind))
    searched = search(subject, stage, manifest, job, request.search, request.recipe.seed, artifact.baked)
    keep(searched, subject, stage, manifest)
    found = (*subject.findings, *artifact.findings, *golden.findings, *_mode_findings(modes))
    return _made(request.kind, artifact, manifest, seconds, speed, found)


def make_golden(request: MakeGolden, job: Job) -> Made:
    """Build the recipe and write golden data beside a copy of somebody else's artifact, in `request.stage`.

    The copy is hashed while it is made; nothing is loaded of it unless its bytes are those that were trusted.
    Raises `WorkbenchError`: "trust" when they are not those of `request.sha256` or of `request.kind`, "artifact" for
    what is no artifact, and what building raises.
    """
    stage = Path(request.stage)
    started = time.perf_counter()
    job.progress("making a private copy")
    if request.runner is not None:
        artifact = foreign.take_runner(request.runner, stage)
    else:
        artifact = foreign.take(Path(request.artifact), request.sha256, stage, request.kind)
    seconds = time.perf_counter() - started
    kind = artifact.extra.pop("kind")
    built, modes = _prepare(request, job, request.state)
    checkpoint = _parameters(built.model, kind)
    parameters = describe_tensors(checkpoint)
    subject = subject_of(built.model, built.example, request.recipe.seed)
    save_or_raise(lambda path: save(path, kept(checkpoint)), stage / CHECKPOINT)
    if kind == "export":  # its own header says what it serves, and which torch wrote it
        artifact.extra["versions"] = {"torch": program_torch(stage / artifact.file)}
        names = [name for name, _ in subject.tensors]
        artifact.batch_range = batch_range(stage / artifact.file, names, subject.axes)
    if kind == "aoti":
        artifact.extra.update(package_machine(stage / artifact.file))
    golden = make_golden_data(subject, stage, job, artifact.batch_range, request.tolerance, True, kind in _BY_PLACE)
    architecture = architecture_of(built.recipe, built, stage if kind == "weights" else None)
    manifest = _manifest(kind, built.recipe, built, modes, golden, artifact, stage)
    manifest.update(
        parameters=parameters,
        architecture=architecture,
        blocked=[] if kind == "runner" else blocked_sources(built, kind),
    )
    if kind == "aoti":
        keep(Searched(why_not=_NATIVE), subject, stage, manifest)
    elif request.sha256 or kind == "runner":  # these very bytes were trusted
        keep(search(subject, stage, manifest, job, request.search, request.recipe.seed), subject, stage, manifest)
    found = (*subject.findings, *artifact.findings, *golden.findings, *_mode_findings(modes))
    return _made(kind, artifact, manifest, seconds, None, found)


def _prepare(request: Any, job: Job, state: str = "", training: bool = False) -> tuple[Built, Modes]:
    """The model of a request in the modes of its artifact; all but `training` in eval."""
    built = build(request.recipe, job, state)
    change = ModeChange(
        training=training,
        grad="no_grad",
        dtype=request.dtype or None,
        device=request.device or None,
        threads=request.threads or None,
    )
    return built, apply(built.model, built.example, read_modes(built.model), change)


def _parameters(model: torch.nn.Module, kind: str) -> list[tuple[str, torch.Tensor]]:
    """What weights_match compares: the state_dict; for programs, buffers that it leaves out as well."""
    state = {name: value for name, value in model.state_dict().items() if isinstance(value, torch.Tensor)}
    if kind != "weights":
        state.update({name: value for name, value in model.named_buffers() if name not in state})
    return [(name, value) for name, value in state.items() if value.layout is torch.strided and not value.is_quantized]


def _manifest(
    kind: str, recipe: Recipe, built: Built, modes: Modes, golden: GoldenPart, artifact: Artifact, stage: Path
) -> dict[str, Any]:
    """The worker's part of the manifest but for parameters and architecture."""
    on_cpu = not any(one.is_cuda for one in built.model.parameters())
    yardstick = for_compiled(golden.yardstick) if kind == "aoti" and on_cpu else golden.yardstick
    digest, size = file_sha256(stage / artifact.file)
    return {
        "schema": MANIFEST_SCHEMA,
        "kind": kind,
        "artifact": {"file": artifact.file, "sha256": digest, "bytes": size},
        "modes": dataclasses.asdict(modes),
        "inputs": golden.inputs,
        "dynamic": list(artifact.dynamic),
        "static": list(artifact.static),
        "worklist": [plain(one) for one in artifact.worklist],
        "batch": golden.batch,
        "contract": golden.contract,
        "layouts": golden.layouts,
        "output": golden.output,
        "yardstick": plain(yardstick),
        "not_comparable": golden.not_comparable,
        "cases": golden.cases,
        "seed": recipe.seed,
        "versions": {"python": platform.python_version(), "torch": str(torch.__version__), "workbench": __version__},
        "platform": f"{platform.system()} {platform.machine()}",
        "instruction_set": torch.backends.cpu.get_cpu_capability(),
        "source_sha256": built.info.source_sha256,
        "weights_sha256": built.weights_sha256(),
        **artifact.extra,
    }


def _speed(subject: Subject, artifact: Artifact, job: Job) -> Speed | None:
    """The artifact beside eager; None for weights, and for an artifact that does not even run: its proof says why."""
    call = artifact.call
    if call is None:
        return None
    args, kwargs = subject.args, subject.kwargs
    try:
        with untouched_model(subject.model, args, kwargs), torch.no_grad():
            call(*args, **kwargs)
    except Exception:  # noqa: BLE001 (an artifact may raise whatever it likes)
        return None
    with untouched_model(subject.model, args, kwargs):
        return measure_speed(lambda: subject.model(*args, **kwargs), lambda: call(*args, **kwargs), subject.batch, job)


def _made(
    kind: str,
    artifact: Artifact,
    manifest: dict[str, Any],
    seconds: float,
    speed: Speed | None,
    found: tuple[Finding, ...],
) -> Made:
    return Made(
        kind=kind,
        file=artifact.file,
        bytes=manifest["artifact"]["bytes"],
        seconds=seconds,
        sha256=manifest["artifact"]["sha256"],
        speed=speed,
        dynamic=artifact.dynamic,
        static=artifact.static,
        findings=found,
        manifest=manifest,
        worklist=artifact.worklist,
    )


def _mode_findings(modes: Modes) -> list[Finding]:
    """What is still training in a model that was put in eval."""
    if modes.training:
        words = "exported in train mode: dropout and batch statistics stay active for ever"
        return [Finding("train_mode", words, "Export in eval mode.")]
    if modes.flips:
        listed = ", ".join(modes.flips[:5])
        words = f"eval() left {listed} in train mode"
        return [Finding("train_mode", words, "Look at what the model's own train() does.")]
    return []
