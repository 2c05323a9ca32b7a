"""The cases that are always asked, as a search needs them: whether they refuse an artifact already, and which is worst.

Runs them at most once, and only when somebody asks. Judges by the proof's own rule.
"""

from __future__ import annotations

from typing import Any

from workbench.protocol.runs import BEYOND, INCOMPARABLE, Yardstick
from workbench.worker.artifact.loading import Opened
from workbench.worker.artifact.prove_cases import CaseResult, Golden, run_case
from workbench.worker.job import Job
from workbench.worker.judge.cases import judge_leaves


class FixedCases:
    """Results of the golden cases whose inputs hold no NaN."""

    def __init__(self, opened: Opened, golden: Golden, device: str, yardstick: Yardstick, job: Job) -> None:
        self._opened, self._golden, self._device = opened, golden, device
        self._yardstick, self._job = yardstick, job
        self._results: list[CaseResult] = []
        self._part = False

    def part(self) -> bool:
        """Whether they refuse the artifact: then nothing need be found. Raises `Cancelled`."""
        if not self._results:
            for index in range(self._golden.count):
                if not self._golden.given_nan(index):
                    self._results.append(run_case(self._opened, self._golden, index, self._device))
                    self._job.raise_if_cancelled()
            self._part = beyond(self._results, self._yardstick)
        return self._part

    def beyond_with(self, suspect: CaseResult) -> bool:
        """Whether the proof refuses the artifact once `suspect` is a case of it."""
        return beyond([*self._results, suspect], self._yardstick)

    def worst(self) -> tuple[tuple[Any, ...], dict[str, Any]] | None:
        """Inputs of the case furthest from eager, where values refuse the artifact; None where nobody asked."""
        bad = [leaf.case for leaf in judge_leaves(self._results, self._yardstick) if leaf.mark == BEYOND]
        return self._golden.inputs(bad[0], self._device) if self._part and bad else None


def beyond(results: list[CaseResult], yardstick: Yardstick) -> bool:
    """Whether a proof of these cases refuses an artifact."""
    if any(one.raised or one.structure or one.nonfinite for one in results):
        return True
    return any(leaf.mark in (BEYOND, INCOMPARABLE) for leaf in judge_leaves(results, yardstick))
