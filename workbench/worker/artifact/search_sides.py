"""Puts one input of a search to the eager model and to the artifact, and says whether what they answer is a finding.

Only proposes: a suspect counts where the proof would refuse it by its own rule, and its neighbours part as well.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from workbench.protocol.failures import WorkbenchError
from workbench.protocol.runs import BEYOND, INCOMPARABLE, Yardstick
from workbench.worker.artifact.fixed_cases import FixedCases, beyond
from workbench.worker.artifact.loading import Opened
from workbench.worker.artifact.plain import named_outputs
from workbench.worker.artifact.prove_cases import CaseResult, Golden, call_artifact, named_as_golden, yardstick_of
from workbench.worker.artifact.search_inputs import Input, Inputs
from workbench.worker.artifact.subject import Subject, run_eager
from workbench.worker.bench.failing import first_line
from workbench.worker.bench.sampling import map_tensors
from workbench.worker.job import Cancelled
from workbench.worker.judge.cases import measured
from workbench.worker.judge.compare import compare
from workbench.worker.judge.leaves import Flat
from workbench.worker.judge.twin import float64_twin, reference_outputs
from workbench.worker.judge.verdict import judge

AROUND = 16
"""Neighbours that a suspect is confirmed on: so many does the verdict pool over."""

GROSS = 100.0
"""Multiple of the tolerance that counts where there is no float64 yardstick: one case of healthy noise never has it."""


class Sides:
    """The eager model and the artifact of one search, side by side."""

    def __init__(
        self, subject: Subject, opened: Opened, golden: Golden, fixed: FixedCases, begin: Callable[[], None]
    ) -> None:
        """begin: called before each run of the eager model, whose branches are watched."""
        self.subject, self.opened, self.golden, self.fixed = subject, opened, golden, fixed
        self.yardstick: Yardstick = yardstick_of(golden.manifest)
        self._begin = begin
        self._twin: torch.nn.Module | None = None

    def eager(self, one: Input) -> Flat | None:
        """Eager's answer on the CPU; None where it does not take this input."""
        self._begin()
        try:
            output = run_eager(self.subject.model, *copies(one.args, one.kwargs))
        except WorkbenchError:
            return None
        return named_as_golden(output, self.golden.manifest)

    def artifact(self, one: Input) -> Flat | str:
        """Its answer, or what it raises."""
        try:
            return call_artifact(self.opened, self.golden.manifest, *copies(one.args, one.kwargs))
        except Exception as problem:  # noqa: BLE001 (an artifact may raise whatever it likes)
            return first_line(problem)

    def suspicion(self, eager: Flat, answer: Flat | str) -> str:
        """What looks wrong about one answer; empty where nothing does."""
        if isinstance(answer, str):
            return f"the artifact raises {answer}"
        structure, diffs = compare(eager, answer)
        if structure:
            return structure
        floor = GROSS if self.yardstick.kind == "tolerance" else 1.0
        for diff in (judge(diff, self.yardstick) for diff in diffs):
            if diff.mark in (BEYOND, INCOMPARABLE) and (diff.reason or diff.noise_multiple > floor):
                return f"{diff.path}: {diff.reason}" if diff.reason else f"{diff.path} differs by {diff.max_abs:.3g}"
        return ""

    def confirmed(self, inputs: Inputs, one: Input, eager: Flat, answer: Flat | str) -> dict[str, torch.Tensor] | None:
        """The float64 answer of a suspect that the proof will refuse and whose neighbours part as well; None else."""
        number = self.golden.count
        if isinstance(answer, str):
            return {} if isinstance(self.artifact(one), str) else None
        exact = self._exact(one)
        suspect = measured(CaseResult(number, one.batch), eager, answer, exact)
        if suspect.structure:
            return exact
        if not self.fixed.beyond_with(suspect):
            return None
        wrong, near = 0, [suspect]
        for place in range(AROUND):
            neighbour = inputs.around(one, place)
            beside = self.eager(neighbour)
            said = self.artifact(neighbour)
            if beside is None or isinstance(said, str):
                continue
            near.append(measured(CaseResult(number + place + 1, one.batch), beside, said, self._exact(neighbour)))
            wrong += bool(self.suspicion(beside, said))
        return exact if wrong >= AROUND // 4 and beyond(near, self.yardstick) else None

    def _exact(self, one: Input) -> dict[str, torch.Tensor]:
        """The float64 answer by leaf path; empty where the yardstick is another."""
        if self.yardstick.kind != "float64":
            return {}
        try:
            if self._twin is None:
                self._twin = float64_twin(self.subject.model)
                output = self.golden.manifest["output"]
                if output.get("named"):
                    named_outputs(self._twin, bool(output.get("within")))
            flat, downcast = reference_outputs(self._twin, *copies(one.args, one.kwargs))
        except (Cancelled, KeyboardInterrupt):
            raise
        except Exception:  # noqa: BLE001 (the model's own code in a dtype it was not written for)
            return {}
        return {} if downcast else {path: leaf.cpu() for path, leaf in flat.leaves if leaf.dtype == torch.float64}


def copies(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Inputs that a call may change in place."""
    return map_tensors(args, torch.clone), map_tensors(kwargs, torch.clone)
