"""Makes an ONNX model from a torch.export program, for runtimes without torch.

Names of inputs and outputs are the paths of the example call and of eager's answer; parameters keep their names, for
nothing is fused: runtimes do that when they load. What torch's own check says is not used: the proof looks itself.
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
import logging
import os
import re
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from workbench.protocol.artifacts import Finding
from workbench.protocol.failures import WorkbenchError, error
from workbench.worker.artifact.export import exported
from workbench.worker.artifact.open_onnx import onnx_call, onnx_lacks
from workbench.worker.artifact.plain import plain_or_raise
from workbench.worker.artifact.prove_cases import leaf_name
from workbench.worker.artifact.subject import Artifact, Subject
from workbench.worker.artifact.trace import save_or_raise
from workbench.worker.bench.failing import first_line, full_text, users_place
from workbench.worker.job import Job
from workbench.worker.judge.leaves import flatten_plain

FILE = "model.onnx"

PACKAGES = ("onnx", "onnxscript", "onnxruntime")
"""What the extra [onnx] installs."""

LARGEST = (1 << 31) - (1 << 24)
"""Bytes of tensors in one file: protobuf refuses messages from 2 GiB on, names and graph included."""


def unavailable(device: str) -> str:
    """Why this kind cannot be made and run on `device` here; empty when it can."""
    missing = [name for name in PACKAGES if importlib.util.find_spec(name) is None]
    if not missing:
        lacking = onnx_lacks(device)
        return f"an ONNX model cannot be proven on {device}: {lacking}" if lacking else ""
    return f"ONNX needs {', '.join(missing)}, which {'is' if len(missing) == 1 else 'are'} not installed"


def make(subject: Subject, stage: Path, job: Job) -> Artifact:
    """Export and save `stage/model.onnx`. Raises `WorkbenchError` ("export", "write")."""
    _refuse(subject)
    made = exported(subject, job, guarded=False)
    job.progress("translating into ONNX operators")
    with _quiet():
        program = _translated(subject, made.program)
    job.progress("saving the ONNX model")
    save_or_raise(lambda path: program.save(path, external_data=False), stage / FILE)
    inputs = [name for name, _ in subject.tensors]
    call = onnx_call(str(stage / FILE), inputs, subject.args[0].device.type if _on_cuda(subject) else "cpu")
    opset = program.model.opset_imports.get("", 0)
    return made.artifact(FILE, call, Finding("opset", f"ONNX opset {opset}, which a runtime must know"))


def _refuse(subject: Subject) -> None:
    """Raises `WorkbenchError("export")` for what is known to be impossible before anything is translated."""
    tensors = [("a parameter", one) for one in (*subject.model.parameters(), *subject.model.buffers())]
    total = sum(one.numel() * one.element_size() for _, one in tensors)
    if total > LARGEST:
        message = f"The weights are {total / 2**30:.1f} GiB, and an ONNX model in one file ends at 2 GiB."
        raise error("export", message, "", "Export with --to export, or cast to half precision first: --dtype float16.")
    for what, one in (*subject.tensors, *flatten_plain(subject.output).leaves):
        if one.dtype == torch.bfloat16:
            message = (
                f"{what} is bfloat16, which ONNX Runtime does not take or give in Python: nothing could be proven."
            )
            raise error("export", message, what, "Export with --to export, or choose --dtype float16.")


_FRAME = re.compile(r'File "([^"]+)", line (\d+)')
"""A line of the model's, in what torch tells of an operator that it cannot take apart."""


def _translated(subject: Subject, program: Any) -> Any:
    """An ONNXProgram whose shape arithmetic is folded and whose parameters are the checkpoint's, by name."""
    from onnxscript import optimizer

    inputs = [_plain(name) for name, _ in subject.tensors]
    answer = subject.output if subject.plain else plain_or_raise(subject.output)
    outputs = [_plain(path) for path, _ in flatten_plain(answer).leaves]
    try:
        made = torch.onnx.export(
            program, dynamo=True, input_names=inputs, output_names=outputs, optimize=False, verbose=False
        )
    except Exception as problem:
        raise _untranslatable(problem) from problem
    assert made is not None
    optimizer.fold_constants(made.model)
    optimizer.remove_unused_nodes(made.model)
    return made


def _plain(path: str) -> str:
    return leaf_name(path) if path.startswith("output") else path.replace("['", ".").replace("']", "")


def _untranslatable(problem: BaseException) -> WorkbenchError:
    """An operator without a translation, or whatever else the translation raised."""
    lines = [line.strip() for line in str(problem).splitlines() if line.strip()]
    telling = next((line for line in lines if "No ONNX function found" in line or "No decompositions" in line), "")
    cause = problem.__cause__ or problem  # the exporter's own words are about its steps and whom to tell
    message = f"torch.onnx cannot translate the model: {(telling or first_line(cause)).rstrip('.!')}."
    remedy = "Write it with operators that ONNX has, or use --to export."
    traced = _FRAME.findall(str(cause).partition("Original traceback")[2])
    place = f"{os.path.basename(traced[-1][0])}:{traced[-1][1]}" if traced else users_place(problem)
    return error("export", message, place, remedy, full_text(problem))


def _on_cuda(subject: Subject) -> bool:
    return bool(subject.args) and isinstance(subject.args[0], torch.Tensor) and subject.args[0].is_cuda


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """The exporter prints its progress and warns about itself; nothing of it is the model's."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir")]
    levels = [one.level for one in loggers]
    for one in loggers:
        one.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        for one, level in zip(loggers, levels):  # noqa: B905 (one level each)
            one.setLevel(level)
