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

from workbench.worker.artifact.branch_copies import Branch
from workbench.worker.artifact.branches import Branches
from workbench.worker.artifact.fixed_cases import FixedCases
from workbench.worker.artifact.loading import Opened, open_artifact
from workbench.worker.artifact.manifest import MANIFEST_GOLDEN
from workbench.worker.artifact.naming_weights import CHECKPOINT
from workbench.worker.artifact.parts import Parting, parting, parting_of_compiled
from workbench.worker.artifact.prove_cases import Golden, yardstick_of
from workbench.worker.artifact.prove_writes import changed_tensors
from workbench.worker.artifact.rewritten import rewritten
from workbench.worker.artifact.search_inputs import DIRECTIONS, Input, Inputs
from workbench.worker.artifact.search_sides import Sides, copies
from workbench.worker.artifact.searched import Counterexample, Searched
from workbench.worker.artifact.subject import Subject, run_eager
from workbench.worker.bench.failing import first_line
from workbench.worker.job import Cancelled, Job
from workbench.worker.judge.snapshot import untouched_model
from workbench.worker.tensorfile import load

MOST = 400
"""Inputs after which a search ends that has time left."""

SMALL = 0.02
"""Seconds of a forward on one thread below which more threads only wait for each other."""

CLIMB = 40
"""Steps towards the other side of one branch."""

STEPS = (1.0, 1 / 16, 1 / 256)
"""Where doubling begins: a side that is narrow is stepped over by large steps."""


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
        done.parts = work.parts(bool(baked))
        done.seconds = time.perf_counter() - started
        if (stage / CHECKPOINT).exists():  # an artifact of others: one of ours was made from these very weights
            state = {**dict(subject.model.named_buffers()), **subject.model.state_dict()}
            done.rewritten = rewritten(state, opened, golden, work.fixed)
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
        run_eager(subject.model, *copies(subject.args, subject.kwargs))
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
        self.fixed = FixedCases(opened, golden, _device(subject), yardstick_of(golden.manifest), job)
        self._nearest: dict[int, tuple[float, Input]] = {}
        """Branch → (how far its other side was, the input)."""
        self._branches = Branches(self._once)
        self.sides = Sides(subject, opened, golden, self.fixed, self._branches.begin)

    def _once(self) -> None:
        run_eager(self.subject.model, *copies(self.subject.args, self.subject.kwargs))

    def run(self, inputs: Inputs, baked: Sequence[tuple[str, str]]) -> None:
        """Every kind of input, then towards the branches that are still one-sided, then more inputs."""
        with self._branches.watching():
            for stream in (inputs.usual(), itertools.islice(inputs.mixed(), MOST)):
                for one in stream:
                    if self._over() or self.done.tried + self.done.refused >= MOST or self.ask(inputs, one):
                        break
                self._towards(inputs)
        self.done.branches = [one for one in self._branches.all if one.depends]
        seen = list(self.done.branches)
        self.done.branches += [Branch(*pair) for pair in baked if not any(one.stands_at(pair[0]) for one in seen)]
        self.done.unwatched = self._branches.unwatched

    def _over(self) -> bool:
        self.job.progress("searching for a counterexample", self.done.tried, MOST)
        return self.done.found is not None or bool(self.done.why_not) or time.perf_counter() > self.until

    def parts(self, baked: bool) -> Parting:
        """Where both part, on what was found or on the worst of the cases that are always asked. baked: whether the
        exporter said that it left a test out, where none was watched."""
        found = self.done.found
        call = (found.input.args, found.input.kwargs) if found is not None else self.fixed.worst()
        if call is None:
            return Parting()
        self.job.progress("looking for the line where both part")
        forks = baked or bool(self.done.branches)
        try:
            if self.golden.manifest["kind"] == "aoti":
                return parting_of_compiled(self.subject, self.job, *call, forks)
            return parting(self.subject, self.opened.program, self.job, *call, forks)
        except Cancelled:
            raise
        except Exception as problem:  # noqa: BLE001 (graphs of others, and private parts of torch: nothing depends on it)
            return Parting(f"the line was not found ({first_line(problem)})")

    def _remember(self, one: Input) -> None:
        """For each branch of which one side was asked, the input on it that came nearest to the other."""
        for number, branch in enumerate(self._branches.all):
            if len(branch.sides) == 1 and branch.taken == branch.sides and branch.margin is not None:
                nearest = self._nearest.get(number)
                if nearest is None or abs(branch.margin) < nearest[0]:
                    self._nearest[number] = abs(branch.margin), one

    def _towards(self, inputs: Inputs) -> None:
        """Push inputs to the side of each branch that was not asked; those that are found on the way come after."""
        climbed: set[int] = set()
        while left := [number for number in self._nearest if number not in climbed]:
            number = left[0]
            climbed.add(number)
            branch, (distance, start) = self._branches.all[number], self._nearest[number]
            if branch.depends and len(branch.sides) == 1 and not self._over():
                self._climb(inputs, start, distance, number)

    def _climb(self, inputs: Inputs, start: Input, distance: float, number: int) -> None:
        """Doubling steps in every direction, and from the nearest place again. Whatever takes a side of any branch that
        was not asked is asked."""
        branch, generator = self._branches.all[number], torch.Generator().manual_seed(self.done.seed + number)
        here = start
        for _ in range(CLIMB):
            before = distance
            for direction in DIRECTIONS:
                for sign, step in itertools.product((1.0, -1.0), STEPS):
                    while abs(step) < 1e7 and not self._over():
                        factor = 1.0 + step if direction == "scaled" and sign > 0 else sign * step
                        one = inputs.moved(here, direction, factor, generator)
                        if one is None:
                            break
                        answered, margin = self.sides.eager(one) is not None, branch.margin
                        fresh = self._branches.fresh(answered)
                        if fresh:
                            crossed = branch if branch in fresh else fresh[0]
                            words = f"{one.words}, pushed to the other side of {crossed.words}"
                            if self.ask(inputs, replace(one, words=words)) or len(branch.sides) == 2:
                                return
                        if not answered or margin is None or abs(margin) >= distance:
                            break
                        here, distance, step = one, abs(margin), step * 2
            if distance >= before or self._over():
                return

    def ask(self, inputs: Inputs, one: Input) -> bool:
        """Put one input to both; whether it is a counterexample."""
        eager = self.sides.eager(one)
        taken = self._branches.taken()
        if eager is None:
            self.done.refused += 1
            self._refused(one, taken)
            return False
        self.done.tried += 1
        answer = self.sides.artifact(one)
        if not isinstance(answer, str):
            for branch, sides in zip(self._branches.all, taken):  # noqa: B905 (of these branches)
                branch.sides |= sides
            self._remember(one)
        words = self.sides.suspicion(eager, answer)
        if not words:
            return False
        if self.fixed.part():
            self.done.why_not = "the fixed cases part already"
            return False
        confirmed = self.sides.confirmed(inputs, one, eager, answer)
        if confirmed is None:
            return False
        used = copies(one.args, one.kwargs)
        run_eager(self.subject.model, *used)
        after = changed_tensors(dict(inputs.leaves(one.args, one.kwargs)), inputs.leaves(*used))
        self.done.found = Counterexample(inputs.copied(one, one.words), eager, confirmed, after, words)
        return True

    def _refused(self, one: Input, taken: list[set[bool]]) -> None:
        """Eager took these sides and then raised: where one of them is new, whether the artifact refuses it too."""
        fresh = self._branches.fresh(answered=False)
        if not fresh:
            return
        answers = not isinstance(self.sides.artifact(one), str)
        for branch, sides in zip(self._branches.all, taken):  # noqa: B905 (of these branches)
            if branch in fresh:
                branch.refused |= sides
                branch.answers |= answers
