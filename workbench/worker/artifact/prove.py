"""The proof of an artifact: does it answer as eager did, on inputs that it was not exported with?

Works on a directory that holds the artifact, `golden.safetensors` and `manifest.json`. Nothing is loaded unless every
digest holds. It never needs the model's source (for weights it builds the architecture that it is told to), and it
never writes. Carried into a bundle's verify.py: torch, the standard library and carried modules only.
"""

from __future__ import annotations

import platform
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from workbench.protocol.artifacts import PROOF_IDS, CheckRow, Finding, Proof
from workbench.protocol.runs import BEYOND, IDENTICAL, INCOMPARABLE, Yardstick
from workbench.worker.artifact.clean import SourceBlocker, file_differences
from workbench.worker.artifact.graph_ops import train_operators
from workbench.worker.artifact.guards_apart import guards_apart
from workbench.worker.artifact.loading import Opened, named_tensors, open_artifact
from workbench.worker.artifact.manifest import MANIFEST_GOLDEN, listed_as, read_manifest, require_golden
from workbench.worker.artifact.parameters import match_parameters
from workbench.worker.artifact.prove_again import SecondLoad, again_row, second_load
from workbench.worker.artifact.prove_cases import CaseResult, Golden, Watch, run_case, yardstick_of
from workbench.worker.artifact.prove_environment import environment_words, load_advice, unfit_here
from workbench.worker.artifact.prove_guards import Tried, guards, guards_finding, guards_rows, guards_violations
from workbench.worker.artifact.prove_rows import (
    nan_finding,
    nonfinite_row,
    searched_findings,
    sizes_row,
    structure_row,
    values_row,
)
from workbench.worker.artifact.prove_writes import writes_findings
from workbench.worker.judge.cases import LeafVerdict, judge_leaves
from workbench.worker.judge.verdict import worst_mark
from workbench.worker.tensorfile import load

ProveProgress = Callable[[str, int, int], None]
"""Called with the phase, how many are done, and how many there are."""

Explain = Callable[
    [Path, Opened, Golden, list[CaseResult], dict[str, CheckRow], str], tuple[dict[str, CheckRow], tuple[Finding, ...]]
]
"""From what was proven (stage, artifact, cases, their results, rows by id, device) to rows that say more, and findings.
It changes no status."""

Opener = Callable[[Path, dict[str, Any]], Opened]
"""From the stage and its manifest to what is called. Raises ValueError."""


def prove(
    stage: Path,
    blocked: tuple[str, ...] | None = None,
    device: str = "cpu",
    threads: int = 0,
    architecture: str = "",
    kwargs: dict[str, Any] | None = None,
    insist: bool = True,
    progress: ProveProgress = lambda phase, done, total: None,
    staged: bool = False,
    explain: Explain | None = None,
    opener: Opener | None = None,
    watch: Watch | None = None,
) -> Proof:
    """Prove the artifact in `stage`; whatever is wrong with it ends in the returned record.

    blocked: files and top-level packages that must not be importable (None: those of the manifest).
    architecture: for weights, `file.py:Name` or `package.module:Name` to build with `kwargs` (None: the manifest's);
    empty: only hashes, keys and shapes are proven. insist: an architecture that cannot be built is an error.
    staged: it is being exported, and its manifest is not the final one. explain: looks for the reasons of a refusal.
    opener: opens what is proven in the place of the manifest's artifact. watch: is shown both answers of every case.
    """
    work = _Proof(stage, device, architecture, kwargs, insist, progress, staged, opener, watch)
    if threads > 0:
        torch.set_num_threads(threads)
    try:
        work.integrity()
        names = work.manifest.get("blocked") or () if blocked is None else blocked
        with SourceBlocker(names) as blocker:
            work.load()
            work.run()
            work.clean(blocker)
        work.judge()
        work.explain(explain)
    except _ProveStop:
        pass
    return work.record()


class _ProveStop(Exception):
    """What failed makes every later check meaningless."""


@dataclass
class _Proof:
    """One proof in progress; a method for each step, a row for each check."""

    stage: Path
    device: str
    architecture: str
    kwargs: dict[str, Any] | None
    insist: bool
    progress: ProveProgress
    staged: bool
    opener: Opener | None
    watch: Watch | None
    manifest: dict[str, Any] = field(default_factory=dict)
    rows: dict[str, CheckRow] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)
    results: list[CaseResult] = field(default_factory=list)
    given_nan: list[CaseResult] = field(default_factory=list)
    """Of cases with a NaN in their inputs, which say nothing about sizes or noise."""
    leaves: list[LeafVerdict] = field(default_factory=list)
    called: bool = False
    loads: SecondLoad = field(default_factory=SecondLoad)
    opened: Opened = field(default_factory=lambda: Opened(None))
    golden: Golden = field(default_factory=lambda: Golden({}, {}))
    yardstick: Yardstick = field(default_factory=lambda: Yardstick("tolerance"))
    load_seconds: float = 0.0
    started: float = field(default_factory=time.perf_counter)

    def row(
        self, check: str, status: str, evidence: str, cause: str = "", remedy: str = "", since: float = 0.0
    ) -> None:
        seconds = time.perf_counter() - since if since else 0.0
        self.rows[check] = CheckRow(check, status, evidence, cause, remedy, seconds)

    def put(self, row: CheckRow) -> None:
        self.rows[row.id] = row

    def integrity(self) -> None:
        since = time.perf_counter()
        self.progress("checking digests", 0, 0)
        cause = "changed after it was made"
        try:
            self.manifest = read_manifest(self.stage, self.staged)
            expected = self.manifest[listed_as(self.staged)]
            wrong = file_differences(self.stage, expected)
        except ValueError as problem:
            wrong, cause = [str(problem)], "not a manifest as an export writes it"
        if wrong:
            remedy = "Get the bundle again from where it was made; nothing of it was loaded."
            self.row("integrity", "fail", "; ".join(wrong[:6]), cause, remedy, since)
            raise _ProveStop
        self.row("integrity", "pass", f"{len(expected)} files have the sha256 that the manifest says", since=since)
        self.yardstick = yardstick_of(self.manifest)

    def load(self) -> None:
        since = time.perf_counter()
        self.progress("loading the artifact", 0, 0)
        try:
            if why := unfit_here(self.manifest, self.device):
                raise ValueError(f"not loaded: {why}")
            self.opened = self.open()
            self.golden = Golden(load(str(self.stage / MANIFEST_GOLDEN)), self.manifest)
            require_golden(self.golden.tensors, self.manifest)
        except (ValueError, OSError) as problem:
            words, versions = str(problem), environment_words(self.manifest)
            self.row("load", "error", words, versions, load_advice(self.manifest, words), since)
            raise _ProveStop from problem
        self.load_seconds = time.perf_counter() - since
        self.row("load", "pass", self.opened.words, since=since)
        self.parameters()

    def open(self) -> Opened:
        """What is proven, loaded. Raises ValueError."""
        if self.opener is not None:
            return self.opener(self.stage, self.manifest)
        return open_artifact(self.stage, self.manifest, self.device, self.architecture, self.kwargs, self.insist)

    def parameters(self) -> None:
        """Before anything is called: a call may write to buffers."""
        since = time.perf_counter()
        self.progress("comparing parameters", 0, 0)
        prefix = self.manifest.get("prefix") or ""
        folds = self.manifest["kind"] != "weights"
        status, evidence = match_parameters(named_tensors(self.opened), self.manifest["parameters"], prefix, folds)
        cause = "the artifact was not made from these weights" if status == "fail" else ""
        self.row("weights_match", status, evidence, cause, since=since)

    def clean(self, blocker: SourceBlocker) -> None:
        leaks = blocker.leaks()
        names = sorted({*blocker.files, *blocker.packages})
        if leaks:
            self.row("clean", "fail", f"in sys.modules: {', '.join(leaks[:5])}", "the model's source was imported")
        elif blocker.asked:
            words = f"asked for {', '.join(dict.fromkeys(blocker.asked))}, which was refused"
            self.row("clean", "pass", f"{words}; not in sys.modules")
        elif names:
            self.row("clean", "pass", f"{', '.join(names)} could not be imported, and nothing asked for it")
        else:
            self.row("clean", "skip", "no source of the model to block")

    def run(self) -> None:
        if self.opened.call is None:
            return
        self.called, total = True, self.golden.count
        for index in range(total):
            self.progress(f"proving case {index + 1} of {total}", index, total)
            given_nan = self.golden.given_nan(index)
            watch = None if given_nan else self.watch  # nobody's own number is made for it
            result = run_case(self.opened, self.golden, index, self.device, watch)
            (self.given_nan if given_nan else self.results).append(result)
        if self.opener is None:
            self.progress("loading it a second time", 0, 0)
            self.opened, self.loads = second_load(self.opened, self.open, self.golden, self.device, self.load_seconds)

    def judge(self) -> None:
        """Rows from what was measured; the graph is read here."""
        kind, results, golden = self.manifest["kind"], self.results, self.golden
        if not self.called:
            for check in ("structure", "nonfinite", "values", "sizes", "repeat"):
                self.row(check, "skip", f"{self.opened.no_call}: keys, shapes and bits are proven")
            remedy = "python verify.py --architecture file.py:Name proves values too."
            self.put(replace(self.rows["values"], remedy=remedy))
        else:
            self.leaves = judge_leaves(results, self.yardstick)
            self.put(structure_row(results, golden))
            self.put(nonfinite_row(results, self.given_nan, kind))
            self.find(nan_finding(self.given_nan, kind))
            holding = sum(any(diff.nan_a + diff.inf_a for diff in one.leaves) for one in results)
            if holding and self.rows["nonfinite"].status == "pass":
                words = f"eager itself answers NaN or infinity in {holding} of {len(results)} cases"
                self.find(Finding("nonfinite", words, "workbench check names where it begins."))
            self.put(values_row(results, self.leaves, self.yardstick, golden))
            self.put(sizes_row(results, self.leaves, self.yardstick, golden))
            self.progress("calling it again with the same inputs", 0, 0)
            repeat, layouts = again_row(self.opened, golden, self.device, self.yardstick, results, self.loads)
            self.put(repeat)
            self.find(layouts)
            self.findings.extend(writes_findings(one.writes for one in results))
            self.findings.extend(searched_findings(self.manifest))
        if kind == "weights":
            self.row("train_ops", "skip", "weights hold no graph")
        else:
            self.train_ops(self.manifest.get("prefix") or "")
            self.guards(kind)
        environment = environment_words(self.manifest)
        if environment:
            self.find(Finding("environment", environment))

    def find(self, finding: Finding | None) -> None:
        self.findings.extend([finding] if finding else [])

    def guards(self, kind: str) -> None:
        """Calls outside the contract, which what follows may not survive: the last of all."""
        self.progress("trying inputs outside the contract", 0, 0)
        if kind == "aoti":
            found, answered = guards_apart(self.stage, self.device, self.staged)
            self.find(found)
            tried = [Tried(one, "an answer" if one.words in answered else "") for one in guards_violations(self.golden)]
        else:
            tried = guards(self.opened, self.golden, self.device)
            self.find(guards_finding(tried))
        for row in guards_rows(tried, self.rows):
            self.put(row)

    def train_ops(self, prefix: str) -> None:
        if self.opened.program is None:
            why = _PROVE_GRAPHLESS.get(self.manifest["kind"], "the onnx package is not here")
            self.row("train_ops", "skip", f"{why}: the answers alone speak (repeat, values)")
            return
        alive = train_operators(self.opened.program, prefix)
        if alive:
            more = f"; and {len(alive) - 5} more" if len(alive) > 5 else ""
            remedy = "Export in eval mode: model.eval() before, or leave --mode train away."
            self.row("train_ops", "fail", f"{'; '.join(alive[:5])}{more}", "it was exported in train mode", remedy)
        else:
            self.row("train_ops", "pass", "no dropout or batch statistics of train mode in the graph")

    def explain(self, explain: Explain | None) -> None:
        """What is known besides about rows that failed; their status stays."""
        if explain is not None and any(row.status == "fail" for row in self.rows.values()):
            self.progress("looking for the reason", 0, 0)
            rows, found = explain(self.stage, self.opened, self.golden, self.results, self.rows, self.device)
            self.rows.update({check: replace(row, status=self.rows[check].status) for check, row in rows.items()})
            self.findings.extend(found)

    def record(self) -> Proof:
        """The verdict: what was not reached is skipped, one "fail" makes it fail, an "error" without one an error."""
        missing = "not reached: an earlier check stopped the proof"
        rows = tuple(self.rows.get(check) or CheckRow(check, "skip", missing) for check in PROOF_IDS)
        statuses = {row.status for row in rows}
        verdict = "fail" if "fail" in statuses else "error" if "error" in statuses else "pass"
        marks = [leaf.mark for leaf in self.leaves]
        if not self.called and verdict == "pass":
            marks = [IDENTICAL]  # weights alone: every bit of every tensor
        return Proof(
            verdict=verdict,
            mark=_prove_mark(marks, self.rows),
            checks=rows,
            findings=tuple(self.findings),
            worst=tuple(leaf.worst for leaf in self.leaves),
            cases=sum(1 for one in self.results if not one.raised),
            noise_multiple=max((leaf.multiple for leaf in self.leaves), default=0.0),
            yardstick=self.yardstick.kind,
            yardstick_reason=self.yardstick.reason,
            seconds=time.perf_counter() - self.started,
            load_seconds=self.load_seconds,
            python=platform.python_version(),
            torch=str(torch.__version__),
            clean=self.rows.get("clean", CheckRow("clean", "skip", "")).status == "pass",
        )


_PROVE_GRAPHLESS = {"aoti": "compiled code shows no graph", "runner": "a command shows no graph"}


def _prove_mark(marks: list[str], rows: dict[str, CheckRow]) -> str:
    """The worst mark of any leaf; beyond when a check on the answers failed for another reason."""
    if any(rows[check].status == "fail" for check in ("structure", "nonfinite", "sizes", "repeat") if check in rows):
        marks = [*marks, BEYOND]
    return worst_mark(marks) if marks else INCOMPARABLE
