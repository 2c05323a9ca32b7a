"""The rows and findings of one proof while they come in, and the record that they make.

Owns their order and what the proof says in all: its verdict and its worst mark. Measures nothing. Carried into a
bundle's verify.py: torch, the standard library and carried modules only.
"""

from __future__ import annotations

import platform
import time
from dataclasses import dataclass, field

import torch

from workbench.protocol.artifacts import PROOF_IDS, CheckRow, Finding, Proof
from workbench.protocol.proven import check_verdict
from workbench.protocol.runs import BEYOND, IDENTICAL, INCOMPARABLE, Yardstick
from workbench.worker.artifact.prove_cases import CaseResult
from workbench.worker.judge.cases import LeafVerdict
from workbench.worker.judge.verdict import worst_mark


@dataclass
class ProofRecord:
    """What is known so far."""

    rows: dict[str, CheckRow] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)
    started: float = field(default_factory=time.perf_counter)

    def row(
        self, check: str, status: str, evidence: str, cause: str = "", remedy: str = "", since: float = 0.0
    ) -> None:
        """Note a row; since: `time.perf_counter()` when its check began."""
        seconds = time.perf_counter() - since if since else 0.0
        self.rows[check] = CheckRow(check, status, evidence, cause, remedy, seconds)

    def put(self, row: CheckRow) -> None:
        self.rows[row.id] = row

    def find(self, finding: Finding | None) -> None:
        self.findings.extend([finding] if finding else [])

    def has(self, check: str, status: str) -> bool:
        row = self.rows.get(check)
        return row is not None and row.status == status

    def proof(
        self, leaves: list[LeafVerdict], results: list[CaseResult], yardstick: Yardstick, load_seconds: float
    ) -> Proof:
        """The record; what was not reached is skipped. Without a case every bit of every tensor is what holds."""
        missing = "not reached: an earlier check stopped the proof"
        rows = tuple(self.rows.get(check) or CheckRow(check, "skip", missing) for check in PROOF_IDS)
        verdict = check_verdict(rows)
        marks = [leaf.mark for leaf in leaves] or ([IDENTICAL] if verdict == "pass" else [])
        return Proof(
            verdict=verdict,
            mark=_record_mark(marks, self.rows),
            checks=rows,
            findings=tuple(self.findings),
            worst=tuple(leaf.worst for leaf in leaves),
            cases=sum(1 for one in results if not one.raised),
            noise_multiple=max((leaf.multiple for leaf in leaves), default=0.0),
            yardstick=yardstick.kind,
            yardstick_reason=yardstick.reason,
            seconds=time.perf_counter() - self.started,
            load_seconds=load_seconds,
            python=platform.python_version(),
            torch=str(torch.__version__),
            clean=self.has("clean", "pass"),
        )


def _record_mark(marks: list[str], rows: dict[str, CheckRow]) -> str:
    """The worst mark of any leaf; beyond when a check on the answers failed for another reason."""
    if any(rows[check].status == "fail" for check in ("structure", "nonfinite", "sizes", "repeat") if check in rows):
        marks = [*marks, BEYOND]
    return worst_mark(marks) if marks else INCOMPARABLE
