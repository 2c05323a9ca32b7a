"""The proof of an artifact: does it answer as eager did, on inputs that it was not exported with?

Works on a directory that holds the artifact, `golden.safetensors` and `manifest.json`. Nothing is loaded unless every
digest holds. It never needs the model's source (for weights it builds the architecture that it is told to), and it
never writes. Carried into a bundle's verify.py: torch, the standard library and carried modules only.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from workbench.protocol.artifacts import CheckRow, Finding, Proof
from workbench.protocol.runs import Yardstick
from workbench.worker.artifact.clean import SourceBlocker, file_differences
from workbench.worker.artifact.graph_ops import train_row
from workbench.worker.artifact.guards_apart import guards_apart
from workbench.worker.artifact.loading import Opened, named_tensors, open_artifact
from workbench.worker.artifact.manifest import MANIFEST_GOLDEN, listed_as, read_manifest, require_golden
from workbench.worker.artifact.open_aoti import aoti_unswitched
from workbench.worker.artifact.parameters import match_parameters
from workbench.worker.artifact.prove_again import SecondLoad, again_row, second_load
from workbench.worker.artifact.prove_cases import CaseResult, Golden, Watch, order_finding, run_case, yardstick_of
from workbench.worker.artifact.prove_environment import environment_words, load_advice, unfit_here
from workbench.worker.artifact.prove_guards import (
    GUARDS_UNASKED,
    guards,
    guards_base,
    guards_finding,
    guards_rows,
    guards_violations,
)
from workbench.worker.artifact.prove_record import ProofRecord
from workbench.worker.artifact.prove_rows import (
    ROWS_OTHER_WEIGHTS,
    nan_finding,
    nonfinite_row,
    searched_findings,
    sizes_row,
    structure_row,
    values_row,
)
from workbench.worker.artifact.prove_writes import writes_findings
from workbench.worker.judge.cases import LeafVerdict, judge_leaves
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
    judged: Callable[[Proof], None] = lambda proof: None,
) -> Proof:
    """Prove the artifact in `stage`; whatever is wrong with it ends in the returned record.

    blocked: files and top-level packages that must not be importable (None: those of the manifest).
    architecture: for weights, `file.py:Name` or `package.module:Name` to build with `kwargs` (None: the manifest's);
    empty: only hashes, keys and shapes are proven. insist: a package of it that is not installed is an error, too.
    staged: it is being exported, and its manifest is not the final one. explain: looks for the reasons of a refusal.
    opener: opens what is proven in the place of the manifest's artifact. watch: is shown both answers of every case.
    judged: is shown the proof of what is refused before `explain` is asked, which may take longer than there is time.
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
        work.explain(explain, judged)
    except _ProveStop:
        pass
    return work.proof()


class _ProveStop(Exception):
    """What failed makes every later check meaningless."""


@dataclass
class _Proof:
    """One proof in progress; a method for each step."""

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
    record: ProofRecord = field(default_factory=ProofRecord)
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
            self.record.row("integrity", "fail", "; ".join(wrong[:6]), cause, remedy, since)
            raise _ProveStop
        self.record.row(
            "integrity", "pass", f"{len(expected)} files have the sha256 that the manifest says", since=since
        )
        self.yardstick = yardstick_of(self.manifest)

    def load(self) -> None:
        since = time.perf_counter()
        self.progress("loading the artifact", 0, 0)
        aoti_unswitched()
        try:
            if why := unfit_here(self.manifest, self.device):
                raise ValueError(f"not loaded: {why}")
            self.opened = self.open()
            self.golden = Golden(load(str(self.stage / MANIFEST_GOLDEN)), self.manifest)
            require_golden(self.golden.tensors, self.manifest)
        except (ValueError, OSError) as problem:
            words, versions = str(problem), environment_words(self.manifest)
            self.record.row("load", "error", words, versions, load_advice(self.manifest, words), since)
            raise _ProveStop from problem
        self.load_seconds = time.perf_counter() - since
        if self.opened.unbuilt:
            self.record.row("load", "error", self.opened.unbuilt, _PROVE_UNBUILT[0], _PROVE_UNBUILT[1], since)
        else:
            self.record.row("load", "pass", self.opened.words, since=since)
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
        try:
            known, rewritten = self.manifest["parameters"], self.manifest.get("rewritten")
            status, evidence = match_parameters(named_tensors(self.opened), known, prefix, folds, rewritten)
        except Exception as problem:  # noqa: BLE001 (native code and other libraries read them)
            status, evidence = "error", f"could not be read: {type(problem).__name__}: {problem}"
        cause, remedy = _PROVE_OTHER_WEIGHTS if status == "fail" else ("", "")
        self.record.row("weights_match", status, evidence, cause, remedy, since)

    def clean(self, blocker: SourceBlocker) -> None:
        leaks = blocker.leaks()
        names = sorted({*blocker.files, *blocker.packages})
        if leaks:
            self.record.row(
                "clean", "fail", f"in sys.modules: {', '.join(leaks[:5])}", "the model's source was imported"
            )
        elif blocker.asked:
            words = f"asked for {', '.join(dict.fromkeys(blocker.asked))}, which was refused"
            self.record.row("clean", "pass", f"{words}; not in sys.modules")
        elif names:
            self.record.row("clean", "pass", f"{', '.join(names)} could not be imported, and nothing asked for it")
        else:
            self.record.row("clean", "skip", "no source of the model to block")

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
            self.uncompared()
        else:
            self.leaves = judge_leaves(results, self.yardstick)
            self.record.put(structure_row(results, golden))
            self.record.put(nonfinite_row(results, self.given_nan, kind))
            self.record.find(nan_finding(self.given_nan, kind))
            holding = sum(any(diff.nan_a + diff.inf_a for diff in one.leaves) for one in results)
            if holding and self.record.has("nonfinite", "pass"):
                words = f"eager itself answers NaN or infinity in {holding} of {len(results)} cases"
                self.record.find(Finding("nonfinite", words, "workbench check names where it begins."))
            self.record.put(values_row(results, self.leaves, golden))
            self.record.put(sizes_row(results, self.leaves, self.yardstick, golden))
            self.progress("calling it again with the same inputs", 0, 0)
            repeat, layouts = again_row(self.opened, golden, self.device, self.yardstick, results, self.loads)
            self.record.put(repeat)
            self.record.find(layouts)
            self.record.findings.extend(writes_findings(one.writes for one in results))
            self.record.find(order_finding(self.opened, golden, self.device, guards_base(results)))
            self.record.findings.extend(searched_findings(self.manifest))
        if self.loads.gone:
            self.record.row("train_ops", "skip", "not looked at: it does not load again, see repeat")
        else:
            self.record.put(train_row(self.opened.program, self.manifest))
        if kind != "weights":
            self.guards(kind)
        environment = environment_words(self.manifest)
        if environment:
            self.record.find(Finding("environment", environment))

    def uncompared(self) -> None:
        """Nothing was called: the rows about answers say why."""
        why, remedy = self.opened.no_call, "python verify.py --architecture file.py:Name proves values too."
        if self.opened.unbuilt:
            why, remedy = "nothing could be called, see load", ""
        for check in ("structure", "nonfinite", "sizes", "repeat"):
            self.record.row(check, "skip", why)
        words = f"{why}: names, shapes and bits are compared, and no answer"
        self.record.row("values", "skip", words, remedy=remedy)

    def guards(self, kind: str) -> None:
        """Calls outside the contract, which what follows may not survive: the last of all."""
        self.progress("trying inputs outside the contract", 0, 0)
        if self.loads.gone:
            self.record.find(Finding("guards", "could not be asked: it does not load again, see repeat"))
            return
        base = guards_base(self.results)
        if base is None:
            self.record.find(Finding("guards", GUARDS_UNASKED))
            return
        if kind == "aoti":
            found, asked = guards_apart(self.stage, self.device, self.staged, base)
            self.record.find(found)
            tried = asked.tried(guards_violations(self.golden, self.device, base))
        else:
            tried = guards(self.opened, self.golden, self.device, base)
            self.record.find(guards_finding(tried))
        for row in guards_rows(tried, self.record.rows):
            self.record.put(row)

    def proof(self) -> Proof:
        return self.record.proof(self.leaves, self.results, self.yardstick, self.load_seconds)

    def explain(self, explain: Explain | None, judged: Callable[[Proof], None]) -> None:
        """What is known besides about rows that failed; their status stays."""
        known = self.record.rows
        refused = any(row.status == "fail" for row in known.values())
        if explain is not None and refused and not self.loads.gone:
            judged(self.proof())
            self.progress("looking for the reason", 0, 0)
            rows, found = explain(self.stage, self.opened, self.golden, self.results, known, self.device)
            known.update({check: replace(row, status=known[check].status) for check, row in rows.items()})
            self.record.findings.extend(found)


_PROVE_OTHER_WEIGHTS = (
    "the artifact was not made from these weights",
    ROWS_OTHER_WEIGHTS,
)
"""Cause and remedy where tensors are not the checkpoint's."""

_PROVE_UNBUILT = (
    "where the model was exported it could be: a bundle brings the Python source, and no other file that it reads",
    "Give what it reads as constructor arguments (--kwargs), and export it again.",
)
"""Cause and remedy where building an architecture raises."""
