"""Makes a TorchScript trace. Legacy: torch itself has deprecated it, and a trace bakes one path through the code.

Traces a deep copy under no_grad. torch's own check is left off: it passes on baked branches, and the proof that
follows looks at more than one input.
"""

from __future__ import annotations

import linecache
import os
import re
import warnings
from pathlib import Path

import torch

from workbench.protocol.artifacts import Finding
from workbench.protocol.failures import WorkbenchError, error
from workbench.worker.artifact.plain import placed_arguments
from workbench.worker.artifact.subject import Artifact, Subject
from workbench.worker.bench.failing import failed_in, first_line, full_text, is_users, users_place
from workbench.worker.job import Job
from workbench.worker.judge.snapshot import untouched_model

FILE = "model.ts"

LEGACY = Finding(
    "legacy",
    "torch.jit.trace is legacy: torch has deprecated it in favour of torch.export.",
    "Use --to export where the model allows it.",
)


def make(subject: Subject, stage: Path, job: Job) -> Artifact:
    """Trace and save `stage/model.ts`. Raises `WorkbenchError` ("export", "write")."""
    job.progress("tracing")
    copied = subject.copy()
    names = subject.names
    arguments = (*subject.args, *subject.kwargs.values())
    if subject.kwargs:
        placed_arguments(copied, names, len(subject.args))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            # tracing runs the copy, whose very tensors the artifact holds
            with untouched_model(copied, arguments), torch.no_grad():
                traced = torch.jit.trace(  # type: ignore[no-untyped-call]
                    copied, arguments, check_trace=False, strict=False
                )
        except Exception as problem:
            raise _untraceable(problem) from problem
    del copied
    job.progress("saving the trace")
    save_or_raise(lambda path: torch.jit.save(traced, path), stage / FILE)
    findings = (LEGACY, *baked(caught))
    static = ("a trace declares no sizes: the proof says which ones it serves",)
    return Artifact(FILE, (), static, findings, traced, baked=baked_tests(caught))


def baked(caught: list[warnings.WarningMessage]) -> list[Finding]:
    """A finding for each place that a TracerWarning names: "branch at model.py:41 was baked: if x.sum() > 0:"."""
    found: dict[str, Finding] = {}
    library: dict[str, None] = {}
    for one in caught:
        if one.category.__name__ != "TracerWarning":
            continue
        if not is_users(one.filename):
            library[f"{os.path.basename(one.filename)}:{one.lineno}"] = None
            continue
        text = str(one.message)
        place = f"{os.path.basename(one.filename)}:{one.lineno}"
        source = linecache.getline(one.filename, one.lineno).strip()
        if "Python boolean" in text:
            words = f"branch at {place} was baked: {source}"
        elif match := re.search(r"Converting a tensor to a (.+?) might", text):
            words = f"a value at {place} was baked as a {match[1]}: {source}"
        else:
            words = f"{text.splitlines()[0]} ({place}: {source})"
        remedy = "The trace keeps the side that the example took. Use torch.where, or --to export."
        found.setdefault(words, Finding("baked", words, remedy))
    if library:
        places = ", ".join(list(library)[:4])
        found[""] = Finding(
            "baked", f"checks of sizes in torch's own modules were baked ({places}): they no longer check"
        )
    return list(found.values())


def baked_tests(caught: list[warnings.WarningMessage]) -> tuple[tuple[str, str], ...]:
    """Place and line of each test of the user's that a TracerWarning names; of no assert: behind it is no answer."""
    found: dict[tuple[str, str], None] = {}
    for one in caught:
        if one.category.__name__ == "TracerWarning" and "Python boolean" in str(one.message) and is_users(one.filename):
            source = linecache.getline(one.filename, one.lineno).strip()
            if not source.startswith("assert"):
                found[f"{os.path.basename(one.filename)}:{one.lineno}", source] = None
    return tuple(found)


def save_or_raise(save: object, path: Path) -> None:
    """Call `save(path)`. Raises `WorkbenchError("write")` when the disk refuses, "export" when the format does."""
    try:
        save(str(path))  # type: ignore[operator]
    except Exception as problem:
        text = str(problem)
        full = isinstance(problem, OSError) or "No space left" in text or "file write failed" in text
        if full or "PytorchStreamWriter" in text:
            message = f"Could not write {path.name}: {first_line(problem)}."
            remedy = "Free some space, or choose a place you may write to."
            raise error("write", message, str(path.parent), remedy, full_text(problem)) from problem
        what = f"The artifact could not be saved as {path.name}"
        raise failed_in(problem, "export", what, "", "Try another kind: --to weights.") from problem


def _untraceable(problem: BaseException) -> WorkbenchError:
    text = str(problem)
    if "Only tensors" in text or "tracer cannot" in text.lower() or "Type 'Tuple" in text:
        remedy = "A trace takes and gives tensors only. Use --to export, or return tensors."
    else:
        remedy = "Use --to export, or look at the line above."
    message = f"torch.jit.trace cannot follow the model: {first_line(problem)}."
    return error("export", message, users_place(problem), remedy, full_text(problem))
