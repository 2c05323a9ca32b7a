"""Makes a torch.export program with a dynamic batch, and says which dimensions stayed dynamic.

Exports a deep copy under no_grad. A size that the model's code fixes is never hidden: the constraint that fails is
kept in words, and the export is tried again with less freedom.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from workbench.protocol.artifacts import Finding
from workbench.protocol.failures import WorkbenchError
from workbench.worker.artifact.draft import obstacles
from workbench.worker.artifact.dynamic import Sizes, freedom_of
from workbench.worker.artifact.export_errors import depends_on_data, graph_unprinted, unexportable, watched_guards
from workbench.worker.artifact.input_guards import declared, guarded_inputs
from workbench.worker.artifact.subject import Artifact, Subject
from workbench.worker.artifact.trace import save_or_raise
from workbench.worker.job import Job
from workbench.worker.judge.replay import Generators

FILE = "model.pt2"


@dataclass
class Exported:
    """A program of torch.export, and what became of the sizes that were to be free."""

    program: Any
    sizes: Sizes
    findings: tuple[Finding, ...]

    def artifact(self, file: str, call: Any, *findings: Finding) -> Artifact:
        """The record of what was made of it: `file`, called by `call`."""
        sizes = self.sizes
        found = (*self.findings, *findings)
        return Artifact(file, sizes.dynamic, sizes.static, found, call, sizes.batch_range, worklist=sizes.worklist)


def make(subject: Subject, stage: Path, job: Job) -> Artifact:
    """Export and save `stage/model.pt2`. Raises `WorkbenchError` ("export", "write")."""
    made = exported(subject, job, guarded=True)
    job.progress("saving the program")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about itself: nothing of the model's
        save_or_raise(lambda path: torch.export.save(made.program, path), stage / FILE)
    return made.artifact(FILE, made.program.module())


def exported(subject: Subject, job: Job, guarded: bool) -> Exported:
    """The program with as much freedom as the model allows; `guarded`: it refuses what the input spec forbids.

    Raises `WorkbenchError("export")`.
    """
    job.progress("exporting")
    freedom = freedom_of(subject)
    number = 0
    while True:
        number += 1
        job.raise_if_cancelled()
        job.progress("exporting" if number == 1 else f"exporting with less freedom, attempt {number}")
        with watched_guards() as seen:
            try:
                program = _export(subject, freedom.shapes(), guarded)
                break
            except Exception as problem:
                if depends_on_data(problem) or not freedom.left:
                    raise _unexportable(subject, problem, job) from problem
                freedom.narrow(problem, seen)
    findings = [Finding("specialised", freedom.failed, _REMEDY)] if freedom.failed else []
    return Exported(program, freedom.ended(program, seen), tuple(findings))


_REMEDY = "The artifact serves exactly these sizes. Mend the line, or export one artifact for each size."


def _export(subject: Subject, shapes: Any, guarded: bool) -> Any:
    copied = subject.copy()
    if guarded:
        guarded_inputs(copied, declared(subject), subject.names)
    generators = Generators.take()  # of Python's and numpy's: the code of the copy may draw while it is followed
    try:
        with torch.no_grad(), graph_unprinted(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return torch.export.export(copied, subject.args, subject.kwargs or None, dynamic_shapes=shapes)
    finally:
        generators.put()


def _unexportable(subject: Subject, problem: BaseException, job: Job) -> WorkbenchError:
    """Why there is no program; where it depends on the data, with every such line, not only the first."""
    if not depends_on_data(problem):
        return unexportable(problem)
    job.progress("looking for every line that depends on the data")
    return unexportable(problem, obstacles(subject))
