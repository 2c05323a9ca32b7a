"""The check against the last release: does the model still answer a bundle's golden inputs as it did then?

The bundle's golden data and manifest are data, and nothing else of it is read but to be hashed. Its yardstick judges.
"""

from __future__ import annotations

import hashlib
import tempfile
from pathlib import Path
from typing import Any

import torch

from workbench.protocol.artifacts import OUT_OF_TIME, CheckRow
from workbench.protocol.outside import METRIC_ID, Metric
from workbench.protocol.runs import Yardstick
from workbench.worker.artifact.clean import file_differences
from workbench.worker.artifact.manifest import MANIFEST_GOLDEN, read_manifest, require_golden
from workbench.worker.artifact.naming_values import relation
from workbench.worker.artifact.parameters import match_parameters
from workbench.worker.artifact.prove_cases import CaseResult, Golden, named_as_golden, yardstick_of
from workbench.worker.artifact.prove_rows import nonfinite_row, sizes_row, structure_row, values_row
from workbench.worker.bench.failing import first_line
from workbench.worker.bench.sampling import map_tensors
from workbench.worker.job import Cancelled
from workbench.worker.judge.cases import judge_leaves, measured
from workbench.worker.judge.checks_run import Subject
from workbench.worker.judge.checks_time import TooLong
from workbench.worker.judge.leaves import Flat
from workbench.worker.judge.metrics import Metrics
from workbench.worker.judge.plan import CASES
from workbench.worker.tensorfile import load

_FEWEST = 4
"""Cases that are asked whatever they take; what is wrong with them is a no."""

_KIND = "eager"
"""Of what answers today: a module of torch, whatever kind the release is, so NaN has to come out where it did."""

_EXPLAINED = 3


def check_baseline(subject: Subject) -> CheckRow:
    """One row: structure, NaN, values and sizes over the golden cases, the first that fails."""
    golden, refused = _release(subject)
    if refused is not None:
        return refused
    work = _Asked(subject, golden, ())
    work.ask()
    if not work.results:
        return work.unanswered()
    yardstick = yardstick_of(golden.manifest, _tolerance(subject))
    results = [one for one in work.results if not golden.given_nan(one.index)]
    with_nan = [one for one in work.results if golden.given_nan(one.index)]
    leaves = judge_leaves(results, yardstick)
    rows = (
        structure_row(results, golden),
        nonfinite_row(results, with_nan, _KIND),
        values_row(results, leaves, golden),
        sizes_row(results, leaves, yardstick, golden),
    )
    wrong = next((row for row in rows if row.status == "fail"), None)
    few = "" if len(work.results) == golden.count else f" ({work.asked}: the time allowed no more)"
    if wrong is None and work.short:
        return work.unanswered()
    if wrong is None:
        return subject.passed(f"{rows[2].evidence} of {_name(golden)}{few}")
    weights = _weights(subject, golden)
    causes = [part for part in (weights, work.reason(), wrong.cause) if part]
    remedy = "If that was meant, export and publish a new release; it is the baseline then."
    return subject.failed(f"{wrong.evidence}{few}", "; ".join(causes[:2]), remedy)


def check_metric(subject: Subject) -> CheckRow:
    """The row of one of a person's own numbers over the golden cases: the release is the reference."""
    golden, refused = _release(subject)
    if refused is not None:
        return refused
    assert subject.against is not None  # a release was named
    wanted = [one for one in subject.against.metrics if METRIC_ID + one.function == subject.id]
    work = _Asked(subject, golden, wanted)
    work.ask()
    subject.findings.extend(work.metrics.findings())
    row = next(iter(work.metrics.rows()), CheckRow(subject.id, "", "no limit was given"))
    return work.unanswered() if work.short and row.status == "pass" else row


class _Asked:
    """The golden cases, put to the bench's model."""

    def __init__(self, subject: Subject, golden: Golden, metrics: list[Metric] | tuple[Metric, ...]) -> None:
        self.subject, self.golden = subject, golden
        self.metrics = Metrics(metrics)
        self.results: list[CaseResult] = []
        self._kept: list[tuple[Flat, Flat]] = []

    def ask(self) -> None:
        """Every case that the budget allows."""
        try:
            for index in self.subject.times(self.golden.count, _FEWEST):
                self._ask(index)
        except TooLong:
            return  # `short` says so

    def _ask(self, index: int) -> None:
        args, kwargs = self.golden.inputs(index, str(self.subject.bench.modes.device or "cpu"))
        empty = CaseResult(index, self.golden.batch(index))
        try:
            output = self.subject.forward(self._cast(args), self._cast(kwargs), self.subject.seed)
            answer = self._cast_back(named_as_golden(output, self.golden.manifest))
        except (Cancelled, KeyboardInterrupt):
            raise
        except Exception as problem:  # noqa: BLE001 (the forward is the user's code)
            self.results.append(CaseResult(index, empty.batch, raised=first_line(problem)))
            return
        eager = self.golden.eager(index)
        if not self.golden.given_nan(index):
            self.metrics.observe(index, eager, answer)
        self.results.append(measured(empty, eager, answer, self.golden.part(index, "float64")))
        if len(self._kept) < _EXPLAINED:
            self._kept.append((eager, answer))

    @property
    def asked(self) -> str:
        """ "4 of 19": cases that were asked, of those that the release has."""
        return f"{len(self.results)} of {self.golden.count}"

    @property
    def short(self) -> bool:
        """Whether fewer cases were asked than a verdict pools over, for want of time."""
        return len(self.results) < min(self.golden.count, CASES)

    def unanswered(self) -> CheckRow:
        """How fast the machine is may not decide the verdict: too few cases are none."""
        words = f"{self.asked} cases were answered in {self.subject.budget:g} s, and a verdict wants {CASES}"
        return CheckRow(self.subject.id, "error", words, OUT_OF_TIME, "Give it more time: --timeout.")

    def reason(self) -> str:
        """The answers as a known function of the release's."""
        said = []
        paths = [path for path, _ in self._kept[0][0].leaves] if self._kept else []
        for place, path in enumerate(paths):
            pairs = [
                (mine.leaves[place][1], its.leaves[place][1]) for mine, its in self._kept if place < len(its.leaves)
            ]
            if words := relation(pairs):
                said.append(f"{path} is {words.replace('eager', 'the release')}")
        return "; ".join(said[:3])

    def _cast(self, value: Any) -> Any:
        """Floating inputs in the dtype that the model was cast to; as they were without."""
        name = self.subject.bench.modes.dtype
        if not name:
            return value
        dtype = getattr(torch, name)
        return map_tensors(value, lambda one: one.to(dtype) if one.is_floating_point() else one)

    def _cast_back(self, flat: Flat) -> Flat:
        """The dtype of a cast model is what was asked for: its values are judged as those of the release."""
        if not self.subject.bench.modes.dtype:
            return flat
        dtypes = self.golden.manifest["output"].get("dtypes") or {}
        leaves = [
            (path, leaf.to(getattr(torch, dtypes[path])) if leaf.is_floating_point() and path in dtypes else leaf)
            for path, leaf in flat.leaves
        ]
        return Flat(flat.structure, leaves, flat.opaque)


def _release(subject: Subject) -> tuple[Golden, CheckRow | None]:
    """The golden data, or the row that says why there is none."""
    assert subject.against is not None  # a release was named
    bundle = Path(subject.against.bundle)
    subject.job.progress("reading the release")
    try:
        manifest = read_manifest(bundle)
        wrong = file_differences(bundle, manifest["files"])
        if wrong:
            raise ValueError(f"it is not as it was published: {'; '.join(wrong[:4])}")
        tensors = _golden_tensors(bundle, manifest["files"][MANIFEST_GOLDEN])
        require_golden(tensors, manifest)
    except (ValueError, OSError) as problem:
        remedy = "Name a bundle as workbench export published it."
        return Golden({}, {}), CheckRow(subject.id, "error", f"{bundle}: {problem}", str(bundle), remedy)
    if (manifest.get("proof") or {}).get("verdict") != "pass":
        subject.found("baseline_refused", f"{bundle.name} was never proven: its own export said no")
    return Golden(tensors, {**manifest, "bundle": bundle.name}), None


def _golden_tensors(bundle: Path, entry: dict[str, Any]) -> dict[str, torch.Tensor]:
    """Read from a private copy of exactly the bytes that the manifest names."""
    digest = hashlib.sha256()
    with tempfile.NamedTemporaryFile(prefix="workbench-", suffix=".safetensors") as private:
        with open(bundle / MANIFEST_GOLDEN, "rb") as source:
            while chunk := source.read(1 << 20):
                digest.update(chunk)
                private.write(chunk)
        private.flush()
        if digest.hexdigest() != entry["sha256"]:
            raise ValueError("its golden data changed while it was read")
        return load(private.name)


def _weights(subject: Subject, golden: Golden) -> str:
    """Whether the parameters are the release's; empty where they are, or where nobody can say."""
    manifest = golden.manifest
    status, evidence = match_parameters(subject.bench.model.state_dict().items(), manifest["parameters"])
    return f"parameters: {evidence.replace('the checkpoint', 'the release')}" if status == "fail" else ""


def _tolerance(subject: Subject) -> float:
    """Of --tolerance, which judges instead of the release's own yardstick; 0: none."""
    given: Yardstick = subject.yardstick
    return given.tolerance if given.kind == "given" else 0.0


def _name(golden: Golden) -> str:
    versions = golden.manifest.get("versions") or {}
    made = f" (torch {versions['torch']})" if versions.get("torch") else ""
    return f"{golden.manifest['bundle']}{made}"
