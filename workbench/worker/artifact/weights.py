"""Makes the weights artifact: the state_dict as safetensors, never a pickled module.

Tied tensors are written once; the manifest lists the other names, and a proof restores and compares every key.
"""

from __future__ import annotations

from pathlib import Path

import torch

from workbench.protocol.artifacts import Finding
from workbench.protocol.failures import error
from workbench.worker.artifact.subject import Artifact, Subject
from workbench.worker.artifact.trace import save_or_raise
from workbench.worker.bench.words import with_article
from workbench.worker.job import Job
from workbench.worker.tensorfile import save

FILE = "weights.safetensors"


def make(subject: Subject, stage: Path, job: Job) -> Artifact:
    """Write `stage/weights.safetensors`. Raises `WorkbenchError` ("export", "write")."""
    job.progress("writing the state_dict")
    state = subject.model.state_dict()
    strange = [name for name, value in state.items() if not isinstance(value, torch.Tensor)]
    if strange:
        kind = with_article(type(state[strange[0]]).__name__)
        message = f"The state_dict holds {strange[0]}, which is {kind} and no tensor."
        remedy = "Keep such state in the constructor's arguments, or save it beside the weights."
        raise error("export", message, strange[0], remedy)
    ties = tied(state)
    kept = {name: value for name, value in state.items() if name not in ties}
    save_or_raise(lambda path: save(path, kept, {"format": "pt"}), stage / FILE)
    findings = []
    if ties:
        listed = ", ".join(f"{name} = {first}" for name, first in list(ties.items())[:5])
        findings.append(Finding("tied", f"tied tensors are written once: {listed}{' …' if len(ties) > 5 else ''}"))
    return Artifact(FILE, findings=tuple(findings), extra={"ties": ties})


def tied(state: dict[str, torch.Tensor]) -> dict[str, str]:
    """Names whose tensor is the very same memory as an earlier name's, and that name."""
    first: dict[tuple[object, ...], str] = {}
    ties: dict[str, str] = {}
    for name, value in state.items():
        if value.layout != torch.strided or not value.numel() or value.is_meta:
            continue
        key = (value.data_ptr(), value.dtype, tuple(value.shape), value.stride(), value.device)
        if first.setdefault(key, name) != name:
            ties[name] = first[key]
    return ties
