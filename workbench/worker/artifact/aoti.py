"""Makes an AOTInductor package: native code for this machine's processor, with the weights inside.

Compiling takes a minute or more and needs a C++ compiler. A package checks nothing by itself, so declared ranges are
asserted in its graph, and the form of every input. It is only ever loaded in a process that may die of it.
"""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import warnings
from collections.abc import Iterator
from pathlib import Path

import torch

from workbench.protocol.artifacts import Finding
from workbench.protocol.failures import WorkbenchError, error
from workbench.worker.artifact.entry_copies import taken_at_entry
from workbench.worker.artifact.export import exported
from workbench.worker.artifact.inspect_pt2 import package_machine
from workbench.worker.artifact.long_sums import summed_in_pairs
from workbench.worker.artifact.open_aoti import aoti_unswitched
from workbench.worker.artifact.subject import Artifact, Subject
from workbench.worker.bench.failing import first_line, full_text, users_place
from workbench.worker.job import Job

FILE = "model.pt2"

NATIVE = Finding(
    "native",
    "native code for this machine's instruction set: it runs here and on processors that have the same",
    "Export once for each kind of machine.",
)


def unavailable(_device: str) -> str:
    """Why this kind cannot be made here; empty when it can."""
    from torch._inductor.cpp_builder import get_cpp_compiler

    try:
        get_cpp_compiler()
    except Exception as problem:  # noqa: BLE001 (whatever it raises, there is no compiler)
        return f"AOTInductor compiles C++, and there is no compiler: {first_line(problem)}"
    return ""


def make(subject: Subject, stage: Path, job: Job) -> Artifact:
    """Compile and save `stage/model.pt2`. Raises `WorkbenchError` ("export", "write")."""
    made = exported(subject, job, guarded=True)
    kept = taken_at_entry(made.program, subject)
    summed_in_pairs(made.program)
    job.progress("compiling native code")
    with _quiet(), _own_cache(stage), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            torch._inductor.aoti_compile_and_package(made.program, package_path=str(stage / FILE))
        except Exception as problem:
            raise _uncompilable(problem) from problem
    job.progress("loading the package")
    aoti_unswitched()
    call = torch._inductor.aoti_load_package(str(stage / FILE))
    found = made.artifact(FILE, call, NATIVE, *([_as_the_example(kept)] if kept else []))
    found.extra["as_the_example"] = kept
    found.extra.update(package_machine(stage / FILE))
    return found


def _as_the_example(names: list[str]) -> Finding:
    words = f"{', '.join(names)} must be laid out in memory as in the example: any other layout is read wrongly"
    return Finding("layouts", words, "Call .contiguous() before the call where the example was contiguous.")


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Inductor tells its own developers which operators it leaves to torch."""
    logger = logging.getLogger("torch._inductor")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


@contextlib.contextmanager
def _own_cache(stage: Path) -> Iterator[None]:
    """What a compilation leaves behind lies in the staging directory, which is removed even if this process dies."""
    before = os.environ.get("TORCHINDUCTOR_CACHE_DIR")
    directory = stage / "compiling"
    os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(directory)
    try:
        yield
    finally:
        shutil.rmtree(directory, ignore_errors=True)
        if before is None:
            del os.environ["TORCHINDUCTOR_CACHE_DIR"]
        else:
            os.environ["TORCHINDUCTOR_CACHE_DIR"] = before


def _uncompilable(problem: BaseException) -> WorkbenchError:
    if "No space left" in str(problem):
        message = f"AOTInductor ran out of space: {first_line(problem)}."
        return error("write", message, "--out", "Free some space there.", full_text(problem))
    message = f"AOTInductor cannot compile the model: {first_line(problem)}."
    remedy = "Use --to export: the same program without native code."
    return error("export", message.replace("..", "."), users_place(problem), remedy, full_text(problem))
