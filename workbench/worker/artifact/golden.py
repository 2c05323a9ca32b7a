"""Makes golden data: inputs, eager's answers and float64 answers of every case, in `golden.safetensors`.

Everything is computed by the eager model, which is left as it was. A model that does not repeat by itself is named
not comparable; no artifact of it ever passes.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from workbench.protocol.artifacts import Finding
from workbench.protocol.failures import WorkbenchError, error
from workbench.protocol.runs import BEYOND, INCOMPARABLE, Yardstick
from workbench.worker.artifact.contract import bounded, case_words, contract_of
from workbench.worker.artifact.golden_cases import golden_cases, slow_forward
from workbench.worker.artifact.golden_inputs import argument_trees
from workbench.worker.artifact.golden_layouts import eager_layouts
from workbench.worker.artifact.golden_rows import rows_lost, rows_served
from workbench.worker.artifact.plain import named_outputs, plain_or_raise
from workbench.worker.artifact.prove_cases import CASES_MAPPING
from workbench.worker.artifact.prove_writes import changed_tensors
from workbench.worker.artifact.subject import Subject, run_eager
from workbench.worker.artifact.trace import save_or_raise
from workbench.worker.bench.failing import first_line
from workbench.worker.bench.sampling import map_tensors
from workbench.worker.job import Cancelled, Job
from workbench.worker.judge.case_inputs import case_inputs
from workbench.worker.judge.compare import compare, relative_error
from workbench.worker.judge.leaves import Flat, flatten_plain
from workbench.worker.judge.plan import BUDGET, CASES, FEWEST, NAN, Case
from workbench.worker.judge.snapshot import untouched_model
from workbench.worker.judge.twin import float64_twin, reference_outputs, unreal_reason
from workbench.worker.judge.verdict import CaseError, judge, pool, verdict_eps
from workbench.worker.tensorfile import save

FILE = "golden.safetensors"


@dataclass
class GoldenPart:
    """What golden data adds to the manifest."""

    cases: list[dict[str, Any]]
    inputs: list[dict[str, Any]]
    output: dict[str, Any]
    yardstick: Yardstick
    batch: dict[str, Any]
    not_comparable: str = ""
    findings: list[Finding] = field(default_factory=list)
    contract: dict[str, Any] = field(default_factory=dict)
    layouts: list[str] = field(default_factory=list)
    """Memory layouts of the inputs that eager serves."""


def make_golden_data(
    subject: Subject,
    stage: Path,
    job: Job,
    batch_range: tuple[int, int | None] | None = None,
    tolerance: float = 0.0,
    foreign: bool = False,
    by_place: bool = False,
    guarded: bool = False,
) -> GoldenPart:
    """Write `stage/golden.safetensors` and say what is in it.

    batch_range: sizes that the artifact serves by its own contract; None: whatever eager serves. tolerance: above 0
    it is the yardstick. foreign: the artifact may give a class's tensors as a tuple. by_place: it gives every answer
    as a plain list of tensors. guarded: the artifact can refuse what its contract forbids.
    Raises `WorkbenchError` ("forward", "export", "write") and `Cancelled`.
    """
    maker = _Maker(subject, job, tolerance, foreign, by_place)
    slow = slow_forward(subject)
    with untouched_model(subject.model):
        low, high, reason = rows_served(subject, batch_range, foreign)
        lost = [] if foreign else rows_lost(subject, batch_range)
        maker.run(golden_cases(subject, low, high, slow))
        not_comparable = maker.repeats()
        layouts = maker.layouts() if not not_comparable and not slow else []
    part = maker.part(not_comparable)
    part.layouts, part.contract = layouts, contract_of(subject, low, high, guarded)
    part.findings += bounded(part.cases, high)
    free = high is None or high > low
    part.batch = {"free": free, "minimum": low, "maximum": high, "reason": reason, "axes": subject.axes}
    part.batch.update({"declared": lost} if lost else {})
    job.progress("writing the golden data")
    save_or_raise(lambda path: save(path, maker.tensors, {"made by": "workbench"}), stage / FILE)
    return part


class _Maker:
    """Golden data in the making."""

    def __init__(self, subject: Subject, job: Job, tolerance: float, foreign: bool, by_place: bool) -> None:
        self.subject, self.job, self.foreign, self.by_place = subject, job, foreign, by_place
        self.tensors: dict[str, torch.Tensor] = {}
        self._cases: list[tuple[Case, dict[str, Any], Flat]] = []
        self._refused: dict[str, str] = {}
        self._left_out: list[str] = []
        self._bytes = 0
        self._errors: dict[str, list[CaseError]] = {}
        self._eps: dict[str, float] = {}
        """Of the leaves in `_errors`, which need not be in every case."""
        self._twin: torch.nn.Module | None = None
        self._unreal = ""
        self._tolerance = tolerance
        try:
            self._twin = float64_twin(subject.model)
            if not subject.plain:
                named_outputs(self._twin, not foreign)
        except Exception as problem:  # noqa: BLE001 (copying runs the model's own code)
            self._unreal = unreal_reason(problem)

    def run(self, cases: list[Case]) -> None:
        """Eager's and the float64 answer of every case that eager takes; raises its `WorkbenchError` for none."""
        last: WorkbenchError | None = None
        for number, case in enumerate(cases):
            self.job.progress("making golden data", number, len(cases))
            args, kwargs, entry = case_inputs(self.subject.example, case)
            used = _copied(args, kwargs)
            try:
                eager = self._answer(*used)
            except WorkbenchError as problem:
                last = problem
                if case.kind == NAN:
                    continue  # it takes no NaN: there is no answer to be compared with
                cause = problem.__cause__
                self._refused.setdefault(
                    case_words(case, entry), first_line(cause) if cause is not None else problem.failure.message
                )
                continue
            if self._too_large(used, eager):
                self._left_out.append(case_words(case, entry))
                continue
            index = len(self._cases)
            before = dict(self._inputs(args, kwargs))
            after = changed_tensors(before, self._inputs(*used))
            for word, leaves in (("input", before), ("after", after)):
                for path, leaf in leaves.items():
                    self.tensors[f"case.{index:02d}.{word}.{path}"] = leaf.detach().cpu().clone()
            for path, leaf in eager.leaves:
                self.tensors[f"case.{index:02d}.output.{path}"] = leaf
            if case.kind != NAN:
                self._exact(index, args, kwargs, eager)
            self._cases.append((case, entry, eager))
        if not self._cases and last is not None:
            raise last

    def _too_large(self, used: tuple[tuple[Any, ...], dict[str, Any]], eager: Flat) -> bool:
        """Whether a case would make the golden data too large; the fewest that a verdict needs are kept whatever."""
        leaves = [leaf for _, leaf in (*self._inputs(*used), *eager.leaves)]
        size = sum(leaf.numel() * (leaf.element_size() + 8 * leaf.is_floating_point()) for leaf in leaves)
        if len(self._cases) >= FEWEST and self._bytes + size > 2 * BUDGET:
            return True
        self._bytes += size
        return False

    def layouts(self) -> list[str]:
        """Memory layouts in which eager serves the first case."""
        self.job.progress("asking eager in other memory layouts")
        args, kwargs, _ = case_inputs(self.subject.example, self._cases[0][0])
        writes = any(name.startswith("case.00.after.") for name in self.tensors)
        return eager_layouts(args, kwargs, self._answer, writes)

    def _inputs(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[tuple[str, torch.Tensor]]:
        """Every tensor of a call with its path."""
        values = zip(self.subject.names, (*args, *kwargs.values()))  # noqa: B905 (one name each)
        return [leaf for name, value in values for leaf in flatten_plain(value, name).leaves]

    def _answer(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Flat:
        output = run_eager(self.subject.model, args, kwargs)
        flat = flatten_plain(output if self.subject.plain else plain_or_raise(output, not self.foreign))
        for path, leaf in flat.leaves:
            if leaf.layout is not torch.strided or leaf.is_quantized or leaf.is_nested:
                message = f"{path} is no ordinary tensor ({leaf.layout}): its values cannot be kept and compared."
                raise error("export", message, path, "Return .to_dense() or .dequantize() of it.")
        leaves = [(path, leaf.detach().cpu().resolve_conj().resolve_neg().clone()) for path, leaf in flat.leaves]
        return Flat(flat.structure, leaves, flat.opaque)

    def _exact(self, index: int, args: tuple[Any, ...], kwargs: dict[str, Any], eager: Flat) -> None:
        """The float64 answer of one case; one that is not real ends the float64 yardstick for all."""
        if self._twin is None or self._unreal:
            return
        try:
            flat, downcast = reference_outputs(self._twin, args, kwargs)
        except (Cancelled, KeyboardInterrupt):
            raise
        except Exception as problem:  # noqa: BLE001 (the model's own code in a dtype it was not written for)
            self._unreal = unreal_reason(problem)
            return
        if downcast:
            self._unreal = f"the float64 run downcasts in {downcast}"
            return
        exact = dict(flat.leaves)
        for path, leaf in eager.leaves:
            twin = exact.get(path)
            if not leaf.is_floating_point() or leaf.dtype == torch.float64:
                continue
            if twin is None or twin.shape != leaf.shape or twin.dtype != torch.float64:
                self._unreal = f"the float64 run answers {path} differently"
                return
            twin = twin.detach().cpu()
            self.tensors[f"case.{index:02d}.float64.{path}"] = twin.clone()
            self._errors.setdefault(path, []).append(relative_error(leaf, twin, leaf))
            eps = verdict_eps(str(leaf.dtype).removeprefix("torch."))
            self._eps[path] = max(eps, self._eps.get(path, eps))

    def repeats(self) -> str:
        """Why eager itself does not repeat: the first case again, after all others; empty when it does."""
        self.job.progress("asking eager the same again")
        case, _, first = self._cases[0]
        for attempt in ("with the same inputs again", "with the same inputs twice in a row"):
            args, kwargs, _ = case_inputs(self.subject.example, case)
            try:
                second = self._answer(args, kwargs)
            except WorkbenchError as problem:
                return f"eager raised when it was called {attempt}: {problem.failure.message}"
            structure, diffs = compare(first, second)
            bad = [diff for diff in diffs if judge(diff, Yardstick("tolerance")).mark in (BEYOND, INCOMPARABLE)]
            if structure or bad:
                words = structure or f"{bad[0].path} differs by {bad[0].max_abs:.3g}"
                return f"eager {attempt} gives another answer ({words})"
            first = second
        return ""

    def part(self, not_comparable: str) -> GoldenPart:
        """What the manifest says. A float64 run of a model that does not repeat answers another question."""
        self._unreal = not_comparable or self._unreal
        usual = self._cases[0][2]
        structure, paths = usual.structure, [path for path, _ in usual.leaves]
        entries = []
        for case, entry, eager in self._cases:
            described = {name: value for name, value in dataclasses.asdict(case).items() if name != "sizes"}
            described.update(entry)
            if eager.structure != structure:
                described["output"] = {"structure": eager.structure, "paths": [path for path, _ in eager.leaves]}
            entries.append(described)
        dtypes = {path: str(leaf.dtype).removeprefix("torch.") for path, leaf in usual.leaves}
        named = not self.subject.plain
        output = {"structure": structure, "paths": paths, "dtypes": dtypes, "named": named}
        output["within"] = named and not self.foreign
        output["any_container"] = self.by_place or (named and self.foreign)
        output["in_order"] = self.foreign and not (named or self.by_place) and structure.startswith(CASES_MAPPING)
        findings = [
            Finding("eager_refuses", f"eager itself refuses {what}: {why}") for what, why in self._refused.items()
        ]
        if self._left_out:
            words = f"left out, for the golden data would be too large: {', '.join(self._left_out)}"
            findings.append(Finding("bounded", words))
        if len(entries) < CASES:
            findings.append(Finding("few_cases", f"{len(entries)} cases only, where {CASES} are usual"))
        return GoldenPart(
            entries, argument_trees(self.subject), output, self._yardstick(dtypes), {}, not_comparable, findings
        )

    def _yardstick(self, dtypes: dict[str, str]) -> Yardstick:
        if self._unreal:  # a part of the float64 answers would be no yardstick
            self.tensors = {name: tensor for name, tensor in self.tensors.items() if ".float64." not in name}
        if self._tolerance > 0:
            return Yardstick("given", tolerance=self._tolerance, reason="--tolerance")
        if self._unreal or not self._errors:
            wide = any(dtype in ("float64", "complex128") for dtype in dtypes.values())
            exact = "the model answers in float64 itself" if wide else "no output leaf is floating: all are exact"
            return Yardstick("tolerance", reason=self._unreal or exact)
        return Yardstick("float64", {path: pool(errors, self._eps[path]) for path, errors in self._errors.items()})


def _copied(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Inputs that the model may change in place."""
    return map_tensors(args, torch.clone), map_tensors(kwargs, torch.clone)
