"""Asks the product's own engine, in this process: runs, checks, proofs; and notes how far each stood from alarm.

It has no rule of its own: what was compared, and with which limit, is noted where `worker/judge/verdict.py` judges.
"""

from __future__ import annotations

import contextlib
import tempfile
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch

from tests.corpus.cases import HERE, Fault, Healthy
from tests.unit.artifact_bench import write_manifest
from workbench.protocol.artifacts import CHECK_IDS
from workbench.protocol.failures import WorkbenchError
from workbench.protocol.messages import Check, Fire, Load, MakeArtifact, MeasureNoise, Prove, SetModes, SetYardstick
from workbench.protocol.model import ModeChange, Recipe
from workbench.protocol.runs import BEYOND, INCOMPARABLE, LeafDiff, RunRow, Yardstick
from workbench.worker.artifact import bundle
from workbench.worker.artifact.prove_job import prove
from workbench.worker.bench.bench import Bench
from workbench.worker.job import Job
from workbench.worker.judge import verdict as verdicts
from workbench.worker.judge.checks import check
from workbench.worker.judge.error_words import told
from workbench.worker.judge.errors import table
from workbench.worker.judge.live import kept_as_it_is
from workbench.worker.judge.noise import measure_noise
from workbench.worker.judge.run import Runs
from workbench.worker.judge.sides import Side

CHECK_SECONDS = 20.0
FAULT_SECONDS = 60.0
"""Budgets of a check; some faults show after many runs, and a share of the time is for them."""


@dataclass(frozen=True)
class Verdict:
    """One verdict on a healthy model."""

    model: str
    dtype: str
    seed: int
    question: str
    """ "run: no_grad against grad", "check batch_rows", "proof trace"."""
    answer: str
    """A mark, or the status of a check."""
    closeness: float
    """Of the nearest of its comparisons: noise multiple / limit; 1 is alarm, 0 the same bits, or nothing to compare."""
    yardstick: str
    words: str = ""

    @property
    def alarm(self) -> bool:
        return self.answer in (BEYOND, "fail", "error")

    @property
    def spoken(self) -> bool:
        """Whether it says anything: what is skipped or cannot be compared is no verdict."""
        return self.answer not in ("skip", INCOMPARABLE)


@dataclass
class Nearest:
    """The closest to alarm of everything that was judged."""

    closeness: float = 0.0
    kinds: set[str] = field(default_factory=set)


@contextlib.contextmanager
def listening() -> Iterator[Nearest]:
    """Inside, every leaf that the one judge judges is noted."""
    nearest, real = Nearest(), verdicts.judge

    def judge(diff: LeafDiff, yardstick: Yardstick) -> LeafDiff:
        judged = real(diff, yardstick)
        if judged.mark != INCOMPARABLE:
            used = verdicts.yardstick_used([diff], yardstick).kind
            limit = verdicts.LIMIT if used == "float64" else 1.0
            nearest.closeness = max(nearest.closeness, judged.noise_multiple / limit)
            nearest.kinds.add(used)
        return judged

    with patch.object(verdicts, "judge", judge):
        yield nearest


def quiet_job() -> Job:
    return Job(1, lambda body, number: None)


@dataclass
class Stand:
    """A model on the bench, with its runs and eager's noise measured."""

    bench: Bench
    runs: Runs
    recipe: Recipe

    def fire(self, count: int = 1, **more: Any) -> RunRow:
        return self.runs.fire(Fire(count, **more), quiet_job())

    def switch(self, **change: Any) -> None:
        self.bench.set_modes(SetModes(ModeChange(**change)), quiet_job())

    def load(self, recipe: Recipe, **change: Any) -> None:
        """Another model on the same bench; the runs stay, and its noise is measured, as the app does after a reload."""
        self.bench.load(Load(recipe, ModeChange(**change), keep_runs=True), quiet_job())
        self.runs.settle(quiet_job())
        self.measure(recipe)

    def measure(self, recipe: Recipe) -> None:
        """Judge by eager's own noise where there is one, else by tolerance, as the client does."""
        with contextlib.suppress(WorkbenchError):
            yardstick = measure_noise(MeasureNoise(recipe, self.bench.modes), quiet_job())
            self.runs.set_yardstick(SetYardstick(yardstick), quiet_job())


def stand(recipe: Recipe, measured: bool = True, **change: Any) -> Stand:
    """Load as `workbench check` does, but for what `change` says, and measure the noise as it does."""
    bench = Bench()
    bench.load(Load(recipe, ModeChange(**{"training": False, "grad": "no_grad", **change})), quiet_job())
    on = Stand(bench, Runs(bench), recipe)
    if measured:
        on.measure(recipe)
    return on


def recipe_of(case: Healthy, seed: int = 0) -> Recipe:
    return Recipe(case.target, kwargs=case.kwargs, inputs=case.inputs, seed=seed)


def healthy_verdicts(
    case: Healthy, dtype: str, seed: int = 0, checks: tuple[str, ...] = CHECK_IDS, proofs: bool = False
) -> Iterator[Verdict]:
    """Every kind of verdict that the product gives, of one model in one dtype under one seed."""
    threads = torch.get_num_threads()
    cast = {} if dtype == case.dtypes[0] else {"dtype": dtype}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            on = stand(recipe_of(case, seed), **cast)
            about = (case.title, dtype, seed)
            yield from _of_runs(on, about)
            yield from _of_checks(on, about, checks)
            if proofs and not cast:
                yield from (_of_proof(on, about, kind) for kind in case.artifacts)
    finally:
        torch.set_num_threads(threads)


SWITCHES: tuple[tuple[str, dict[str, Any]], ...] = (
    ("again", {}),
    ("grad", {"grad": "grad"}),
    ("inference_mode", {"grad": "inference_mode"}),
    ("1 thread", {"grad": "no_grad", "threads": 1}),
    ("2 threads", {"threads": 2}),
    ("4 threads", {"threads": 4}),
    ("fixed generators", {"threads": 0, "rng": "fixed"}),
)


def _of_runs(on: Stand, about: tuple[str, str, int]) -> Iterator[Verdict]:
    on.fire()
    for words, change in SWITCHES:
        if change:
            on.switch(**change)
        with listening() as nearest:
            row = on.fire()
        said = " ".join(part for part in (row.cause, row.note) if part)
        yield Verdict(*about, f"run: {words}", row.mark, nearest.closeness, _kind(nearest, on), said)
    on.switch(threads=0, rng="free")


def _of_checks(on: Stand, about: tuple[str, str, int], checks: tuple[str, ...]) -> Iterator[Verdict]:
    for name in checks:
        with listening() as nearest:
            row = check(on.bench, on.runs, Check(name, CHECK_SECONDS), quiet_job())
        said = " ".join(part for part in (row.evidence, row.cause) if part)
        yield Verdict(*about, f"check {name}", row.status, nearest.closeness, _kind(nearest, on), said)


def _of_proof(on: Stand, about: tuple[str, str, int], kind: str) -> Verdict:
    """The artifact made and proven; `pooled` judges its leaves, so the proof itself says how far it stood."""
    with tempfile.TemporaryDirectory(prefix="workbench-corpus-") as folder:
        request = MakeArtifact(on.recipe, kind, folder)
        with patch.object(bundle, "_speed", return_value=None):  # it takes time, and is no verdict
            made = bundle.make_artifact(request, quiet_job())
        write_manifest(Path(folder), made.manifest)
        proof = prove(Prove(folder, staged=True), quiet_job())
    limit = verdicts.LIMIT if proof.yardstick == "float64" else 1.0
    failed = [f"{row.id}: {row.evidence}" for row in proof.checks if row.status in ("fail", "error")]
    return Verdict(
        *about, f"proof {kind}", proof.verdict, proof.noise_multiple / limit, proof.yardstick, "; ".join(failed)
    )


def _kind(nearest: Nearest, on: Stand) -> str:
    """The yardstick that was used where something was compared beyond its bits."""
    return "+".join(sorted(nearest.kinds)) or on.runs.yardstick.kind


@dataclass(frozen=True)
class Catch:
    """What was said of one seeded fault."""

    fault: str
    caught: bool
    missing: tuple[str, ...]
    """Words about the cause that were not said."""
    said: str

    @property
    def right(self) -> bool:
        return self.caught and not self.missing


def catch(fault: Fault) -> Catch:
    """Ask the check that must fail, or compare with the healthy twin."""
    threads = torch.get_num_threads()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            caught, said = _compared_with_twin(fault) if fault.twin else _checked(fault)
    finally:
        torch.set_num_threads(threads)
    missing = tuple(
        word for word in fault.expected if not any(part.lower() in said.lower() for part in word.split("|"))
    )
    return Catch(fault.title, caught, missing, said)


def _checked(fault: Fault) -> tuple[bool, str]:
    recipe = Recipe(fault.target, kwargs=fault.kwargs, inputs=fault.inputs)
    on = stand(recipe, training=fault.training, grad=fault.grad)
    row = check(on.bench, on.runs, Check(fault.caught_by, FAULT_SECONDS), quiet_job())
    return row.status == "fail", " ".join((row.evidence, row.cause))


def _compared_with_twin(fault: Fault) -> tuple[bool, str]:
    """The mark as a reload of edited source gives it; the cause by the table of errors, module by module."""
    healthy = Recipe(f"{HERE / fault.file}:{fault.twin}", inputs=fault.inputs)
    on = stand(healthy)
    on.fire()
    model = on.bench.model
    on.load(Recipe(fault.target, inputs=fault.inputs), training=False, grad="no_grad")
    row = on.fire()
    rows = on.runs.rows
    with kept_as_it_is(model) as before, kept_as_it_is(on.bench.model) as after:
        sides = Side("the twin", model, rows[1].record, before), Side("it", on.bench.model, rows[2].record, after)
        calls, _ = table(*sides, quiet_job())
    starts, _, words = told(calls)
    return row.mark == BEYOND, " ".join((row.note, str(starts), words))
