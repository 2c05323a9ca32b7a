"""A's part of a comparison: the cases that it takes, and its answers to them, eager and in float64.

The answers wait in a store that spills to files, so that A itself can be let go of before B is built. It judges
nothing.
"""

from __future__ import annotations

import time

import torch

from workbench.protocol.failures import WorkbenchError, error
from workbench.worker.bench.diagnosis import explain
from workbench.worker.bench.failing import first_line
from workbench.worker.job import Cancelled, Job
from workbench.worker.judge.case_inputs import case_inputs, real_seeds, samples_taken
from workbench.worker.judge.leak import size
from workbench.worker.judge.leaves import Flat, flatten
from workbench.worker.judge.look import require_tensor
from workbench.worker.judge.plan import CASES, Case, batch_limits, plan
from workbench.worker.judge.snapshot import untouched_model
from workbench.worker.judge.standing import Call, Standing, naming
from workbench.worker.judge.steady import NOTHING, unsteady
from workbench.worker.judge.store import Store, output_bytes
from workbench.worker.judge.twin import NoYardstick, float64_twin, twins, unreal_reason

LARGE = 256 << 20
"""Bytes of one answer from which no float64 run is made of it."""

BUDGET = 2 << 30
"""Bytes of A's answers, eager and float64, over all cases."""

HELD = 256 << 20
"""Bytes of them that stay in memory."""

SLOW = 0.5
"""Seconds a forward from which no more cases are made than the verdict needs."""

REPEATS = 3
"""Cases that each side is asked again."""


class Answers:
    """What A was asked, and what it answered."""

    def __init__(self, side: Standing, job: Job, unreal: str) -> None:
        """`unreal`: why no float64 answers are wanted; empty when they are."""
        self.cases: list[Case] = []
        """Those that A takes."""
        self.notes: list[str] = []
        """Worth knowing."""
        self.obstacle = NOTHING
        """Why A's answers are not comparable at all, and what mends it."""
        self.unreal = unreal
        """Why there is no float64 yardstick."""
        self.example = side.example
        self._side, self._job = side, job
        self._twin: torch.nn.Module | None = None
        self._store = Store(HELD, total_budget=1 << 62)

    def collect(self) -> None:
        """Ask everything. Raises `WorkbenchError` that names side A when it does not run; the model is as before."""
        side = self._side
        with untouched_model(side.model):
            answer = self._first()
            self._make_twin(output_bytes(answer))
            cases = self._planned(answer)
            del answer
            for number, case in enumerate(cases):
                self._job.progress("A answers", number, len(cases))
                self._ask(case)
                if self.obstacle.words:
                    break
        if not self.cases:
            raise error("forward", f"Side A: the model takes none of the inputs: {self.notes[-1]}.", "--input")
        if not self.obstacle.words:
            self.obstacle = unsteady(side, self._kept(), self._job)
        self._twin = None
        del self._side

    def inputs(self, place: int) -> Call:
        """A's inputs of a case, made again."""
        args, kwargs, _ = case_inputs(self.example, self.cases[place])
        return args, kwargs

    def eager(self, place: int) -> Flat:
        return self._store.get(2 * place + 1)

    def exact(self, place: int) -> dict[str, torch.Tensor]:
        """Float64 answers by leaf path; none when they are no yardstick."""
        return {} if self.unreal else dict(self._store.get(2 * place + 2).leaves)

    def close(self) -> None:
        """Forget everything."""
        self._store.close()

    def _first(self) -> Flat:
        """The answer to the example itself. Raises `WorkbenchError` that names the side."""
        side = self._side
        args, kwargs = side.example.sample(side.example.seed)
        began = time.monotonic()
        with naming(side.letter):
            try:
                flat = side.answer((args, kwargs), side.example.seed)
            except (Cancelled, WorkbenchError):
                raise
            except Exception as problem:
                raise WorkbenchError(explain(problem, side.model, args, kwargs)) from problem
            require_tensor(flat, None if not flat.leaves else flat)
        side.seconds = time.monotonic() - began
        return flat

    def _planned(self, answer: Flat) -> list[Case]:
        side = self._side

        def accepts(rows: int) -> str:
            args, kwargs = side.example.sample(side.example.seed, rows)
            try:
                side.answer((args, kwargs), side.example.seed)
            except Cancelled:
                raise
            except Exception as problem:  # noqa: BLE001 (the model's own code, on rows it may not be made for)
                return first_line(problem)
            return ""

        example = side.example
        low, high, reason = batch_limits(example.batch, example.batch_range, accepts)
        total = output_bytes(flatten(example.sample(example.seed))) + output_bytes(answer)
        total += 0 if self.unreal else sum(leaf.numel() * 8 for _, leaf in answer.leaves if leaf.is_floating_point())
        rows = example.batch
        given = real_seeds(example)
        cost = (total // rows if rows else 0, 0 if rows else total)
        cases = plan(example.seed, rows, low, high, *cost, given, BUDGET, 1)
        if reason and rows:
            self.notes.append(f"batch {low} only: {reason}")
        if len(cases) < CASES:
            few = f"{len(cases)} case{'s' if len(cases) > 1 else ''} only"
            self.notes.append(f"{few}, for the largest answers take {size(total)}; {CASES} are usual")
        cases = cases[:CASES] if side.seconds > SLOW else cases
        if words := samples_taken(example, cases):
            self.notes.append(f"cases: {words}")
        return cases

    def _make_twin(self, answer: int) -> None:
        if answer > LARGE:
            self.unreal = self.unreal or f"an answer of {size(answer)} is too large for a float64 run"
        if self.unreal:
            return
        try:
            self._twin = float64_twin(self._side.model)
        except NoYardstick as reason:
            self.unreal = str(reason)

    def _ask(self, case: Case) -> None:
        side = self._side
        args, kwargs, _ = case_inputs(self.example, case)
        try:
            flat = side.answer((args, kwargs), case.seed)
        except Cancelled:
            raise
        except Exception as problem:  # noqa: BLE001 (edge inputs may be none of the model's)
            self.notes.append(f"A itself refuses {where(case)}: {first_line(problem)}")
            return
        place = len(self.cases)
        self.cases.append(case)
        self._store.put(2 * place + 1, flat)
        self.obstacle = unsteady(side, [((args, kwargs), case.seed, flat)], self._job, luck=True)
        if side.drawn:
            self.unreal = self.unreal or "the forward draws random numbers, so a float64 run answers another question"
        exact: list[tuple[str, torch.Tensor]] = []
        if self._twin is not None and not self.unreal and not self.obstacle.words:
            try:
                exact = [(path, twin) for path, _, twin in twins(self._twin, flat, args, kwargs, case.seed)]
            except NoYardstick as reason:
                self.unreal = str(reason)
            except Exception as problem:  # noqa: BLE001 (the model's own code in a dtype it was not written for)
                self.unreal = unreal_reason(problem)
        self._store.put(2 * place + 2, Flat("", exact))

    def _kept(self) -> list[tuple[Call, int, Flat]]:
        """The first cases as they were answered."""
        found = []
        for place, case in enumerate(self.cases[:REPEATS]):
            found.append((self.inputs(place), case.seed, self.eager(place)))
        return found


def where(case: Case) -> str:
    """ "batch 4, scale 0.01, seed 1009"."""
    kind = f", {case.kind}" if case.kind != "normal" else ""
    return f"{f'batch {case.batch}, ' if case.batch else ''}scale {case.scale:g}{kind}, seed {case.seed}"
