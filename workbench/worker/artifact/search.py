"""Looks for an input on which the artifact and the eager model part, beyond the cases that are always asked.

Runs where both are, before the proof, and only proposes: what it finds becomes a further golden case, which the clean
proof judges by its own rule. First inputs of every kind and size, then inputs pushed towards the untaken side of each
branch of the user's code. Healthy artifacts must not be accused: one case's noise is no finding.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from workbench.protocol.failures import WorkbenchError
from workbench.protocol.runs import BEYOND, INCOMPARABLE, Yardstick
from workbench.worker.artifact.branch_copies import Branch
from workbench.worker.artifact.branches import Branches
from workbench.worker.artifact.fixed_cases import FixedCases, beyond
from workbench.worker.artifact.loading import Opened, open_artifact
from workbench.worker.artifact.manifest import MANIFEST_GOLDEN
from workbench.worker.artifact.parts import parting, parting_of_compiled
from workbench.worker.artifact.plain import named_outputs
from workbench.worker.artifact.prove_cases import (
    CaseResult,
    Golden,
    call_artifact,
    named_as_golden,
    yardstick_of,
)
from workbench.worker.artifact.prove_writes import changed_tensors
from workbench.worker.artifact.search_inputs import DIRECTIONS, Input, Inputs
from workbench.worker.artifact.searched import Counterexample, Searched
from workbench.worker.artifact.subject import Subject, run_eager
from workbench.worker.bench.failing import first_line
from workbench.worker.bench.sampling import map_tensors
from workbench.worker.job import Cancelled, Job
from workbench.worker.judge.cases import measured
from workbench.worker.judge.compare import compare
from workbench.worker.judge.leaves import Flat
from workbench.worker.judge.snapshot import untouched_model
from workbench.worker.judge.twin import float64_twin, reference_outputs
from workbench.worker.judge.verdict import judge
from workbench.worker.tensorfile import load

MOST = 400
"""Inputs after which a search ends that has time left."""

AROUND = 16
"""Neighbours that a suspect is confirmed on: so many does the verdict pool over."""

GROSS = 100.0
"""Multiple of the tolerance that counts where there is no float64 yardstick: one case of healthy noise never has it."""

SMALL = 0.02
"""Seconds of a forward on one thread below which more threads only wait for each other."""

CLIMB = 40
"""Steps towards the other side of one branch."""


def search(
    subject: Subject,
    stage: Path,
    manifest: dict[str, Any],
    job: Job,
    seconds: float,
    seed: int,
    baked: Sequence[tuple[str, str]] = (),
) -> Searched:
    """Search for at most `seconds` with the artifact as it was saved in `stage`. Raises `Cancelled`.

    baked: place and line of tests that a trace left out; one that cannot be watched counts as one-sided.
    With 0 seconds only the cases that are always asked are looked at, for the line where both part. The model, its
    inputs and its code are as before afterwards.
    """
    done = Searched(seed=seed)
    done.why_not = _hindrance(manifest)
    if done.why_not:
        return done
    job.progress("searching for a counterexample")
    try:
        opened = open_artifact(stage, manifest, _device(subject))
    except ValueError as problem:
        done.why_not = f"the artifact does not load ({problem})"
        return done
    started = time.perf_counter()
    golden = Golden(load(str(stage / MANIFEST_GOLDEN)), manifest)
    with untouched_model(subject.model, subject.args, subject.kwargs):
        work = _Search(subject, opened, golden, job, started + seconds, done)
        if seconds > 0:
            _one_thread_where_small(subject)
            work.run(Inputs(subject, int(manifest["batch"]["minimum"] or 0), manifest["batch"]["maximum"], seed), baked)
        else:
            done.why_not = "--search 0"
            work.fixed.part()
        done.parts = work.parts()
    done.seconds = time.perf_counter() - started
    return done


def _hindrance(manifest: dict[str, Any]) -> str:
    if manifest["not_comparable"]:
        return "the model does not repeat"
    if manifest["kind"] in ("weights", "runner"):
        return {"weights": "weights are the model itself", "runner": "a command is asked the fixed cases only"}[
            manifest["kind"]
        ]
    return ""


def _device(subject: Subject) -> str:
    return next((leaf.device.type for _, leaf in subject.tensors), "cpu")


def _one_thread_where_small(subject: Subject) -> None:
    """For the search alone; `untouched_model` puts the number of threads back."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    taken = []
    for _ in range(3):
        started = time.perf_counter()
        run_eager(subject.model, *_copies(subject.args, subject.kwargs))
        taken.append(time.perf_counter() - started)
        if taken[-1] > 10 * SMALL:
            break
    if min(taken) > SMALL:
        torch.set_num_threads(threads)


class _Search:
    """One search in progress."""

    def __init__(
        self, subject: Subject, opened: Opened, golden: Golden, job: Job, until: float, done: Searched
    ) -> None:
        self.subject, self.opened, self.golden, self.job = subject, opened, golden, job
        self.until, self.done = until, done
        self.yardstick: Yardstick = yardstick_of(golden.manifest)
        self.fixed = FixedCases(opened, golden, _device(subject), self.yardstick, job)
        self._nearest: dict[int, tuple[float, Input]] = {}
        """Branch → (how far its other side was, the input)."""
        self._twin: torch.nn.Module | None = None
        self._branches = Branches(self._once)

    def _once(self) -> None:
        run_eager(self.subject.model, *_copies(self.subject.args, self.subject.kwargs))

    def run(self, inputs: Inputs, baked: Sequence[tuple[str, str]]) -> None:
        """Every kind of input, then towards the branches that are still one-sided, then more inputs."""
        with self._branches.watching():
            for stream in (inputs.usual(), itertools.islice(inputs.mixed(), MOST)):
                for one in stream:
                    if self._over() or self.done.tried + self.done.refused >= MOST or self.ask(inputs, one):
                        break
                    self._remember(one)
                self._towards(inputs)
        self.done.branches = [one for one in self._branches.all if one.depends]
        seen = list(self.done.branches)
        self.done.branches += [Branch(*pair) for pair in baked if not any(one.stands_at(pair[0]) for one in seen)]
        self.done.unwatched = self._branches.unwatched

    def _over(self) -> bool:
        self.job.progress("searching for a counterexample", self.done.tried, MOST)
        return self.done.found is not None or bool(self.done.why_not) or time.perf_counter() > self.until

    def parts(self) -> str:
        """Where both part, on what was found or on the worst of the cases that are always asked."""
        found = self.done.found
        call = (found.input.args, found.input.kwargs) if found is not None else self.fixed.worst()
        if call is None:
            return ""
        self.job.progress("looking for the line where both part")
        try:
            if self.golden.manifest["kind"] == "aoti":
                return parting_of_compiled(self.subject, self.job, *call)
            forks = bool(self._branches.all or self._branches.unwatched)
            return parting(self.subject, self.opened.program, *call, forks)
        except Cancelled:
            raise
        except Exception as problem:  # noqa: BLE001 (graphs of others, and private parts of torch: nothing depends on it)
            return f"the line was not found ({first_line(problem)})"

    def _remember(self, one: Input) -> None:
        """For each branch of which one side was never taken, the input that came nearest to the other."""
        for number, branch in enumerate(self._branches.all):
            if len(branch.sides) == 1 and branch.margin is not None:
                nearest = self._nearest.get(number)
                if nearest is None or abs(branch.margin) < nearest[0]:
                    self._nearest[number] = abs(branch.margin), one

    def _towards(self, inputs: Inputs) -> None:
        """Push inputs to the untaken side of each branch; what crosses is asked."""
        for number, (distance, start) in list(self._nearest.items()):
            branch = self._branches.all[number]
            if branch.depends and len(branch.sides) == 1 and not self._over():
                self._climb(inputs, start, distance, number)

    def _climb(self, inputs: Inputs, start: Input, distance: float, number: int) -> None:
        """Doubling steps in every direction, and from the nearest place again."""
        branch, generator = self._branches.all[number], torch.Generator().manual_seed(self.done.seed + number)
        here = start
        for _ in range(CLIMB):
            before = distance
            for direction in DIRECTIONS:
                for sign in (1.0, -1.0):
                    step = 1.0
                    while abs(step) < 1e7 and not self._over():
                        factor = 1.0 + step if direction == "scaled" and sign > 0 else sign * step
                        one = inputs.moved(here, direction, factor, generator)
                        if one is None or self._eager(one) is None or branch.margin is None:
                            break
                        if len(branch.sides) == 2:
                            words = f"{one.words}, pushed to the other side of {branch.words}"
                            self.ask(inputs, replace(one, words=words))
                            return
                        if abs(branch.margin) >= distance:
                            break
                        here, distance, step = one, abs(branch.margin), step * 2
            if distance >= before or self._over():
                return

    def _eager(self, one: Input) -> Flat | None:
        """Eager's answer on the CPU; None where it does not take this input."""
        self._branches.begin()
        try:
            output = run_eager(self.subject.model, *_copies(one.args, one.kwargs))
        except WorkbenchError:
            return None
        return named_as_golden(output, self.golden.manifest)

    def _artifact(self, one: Input) -> Flat | str:
        try:
            return call_artifact(self.opened, self.golden.manifest, *_copies(one.args, one.kwargs))
        except Exception as problem:  # noqa: BLE001 (an artifact may raise whatever it likes)
            return first_line(problem)

    def ask(self, inputs: Inputs, one: Input) -> bool:
        """Put one input to both; whether it is a counterexample."""
        eager = self._eager(one)
        if eager is None:
            self.done.refused += 1
            return False
        self.done.tried += 1
        answer = self._artifact(one)
        words = self._suspicion(eager, answer)
        if not words:
            return False
        if self.fixed.part():
            self.done.why_not = "the fixed cases part already"
            return False
        confirmed = self._confirmed(inputs, one, eager, answer)
        if confirmed is None:
            return False
        used = _copies(one.args, one.kwargs)
        run_eager(self.subject.model, *used)
        after = changed_tensors(dict(inputs.leaves(one.args, one.kwargs)), inputs.leaves(*used))
        self.done.found = Counterexample(inputs.copied(one, one.words), eager, confirmed, after, words)
        return True

    def _suspicion(self, eager: Flat, answer: Flat | str) -> str:
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

    def _confirmed(self, inputs: Inputs, one: Input, eager: Flat, answer: Flat | str) -> dict[str, torch.Tensor] | None:
        """The float64 answer of a suspect that the proof will refuse and whose neighbours part as well; None else."""
        number = self.golden.count
        if isinstance(answer, str):
            return {} if isinstance(self._artifact(one), str) else None
        exact = self._exact(one)
        suspect = measured(CaseResult(number, one.batch), eager, answer, exact)
        if suspect.structure:
            return exact
        if not self.fixed.beyond_with(suspect):
            return None
        wrong, near = 0, [suspect]
        for place in range(AROUND):
            neighbour = inputs.around(one, place)
            beside = self._eager(neighbour)
            said = self._artifact(neighbour)
            if beside is None or isinstance(said, str):
                continue
            near.append(measured(CaseResult(number + place + 1, one.batch), beside, said, self._exact(neighbour)))
            wrong += bool(self._suspicion(beside, said))
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
            flat, downcast = reference_outputs(self._twin, *_copies(one.args, one.kwargs))
        except (Cancelled, KeyboardInterrupt):
            raise
        except Exception:  # noqa: BLE001 (the model's own code in a dtype it was not written for)
            return {}
        return {} if downcast else {path: leaf.cpu() for path, leaf in flat.leaves if leaf.dtype == torch.float64}


def _copies(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Inputs that a call may change in place."""
    return map_tensors(args, torch.clone), map_tensors(kwargs, torch.clone)
