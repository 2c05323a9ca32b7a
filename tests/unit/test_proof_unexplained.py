"""A verdict stands when the search for its reasons takes too long, or ends the worker."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from tests.unit.artifact_bench import eager, failed, make, quiet_job, write_manifest
from workbench.protocol.artifacts import Proof
from workbench.protocol.died import died_of_it
from workbench.protocol.failures import Failure, WorkbenchError
from workbench.protocol.messages import Prove
from workbench.supervisor.export import clean_proof
from workbench.worker.artifact import prove_job
from workbench.worker.job import Job

REFUSED = replace(died_of_it("of something", 1.0), findings=())


class Ending:
    """A flow whose worker says these events, and then ends so."""

    seconds = 0.0

    def __init__(self, events: tuple[Any, ...], kind: str) -> None:
        self.events, self.kind = events, kind

    async def run(self, role: str, request: Prove, *, on_event: Any = None, **rest: Any) -> Any:
        for one in self.events:
            on_event(one)
        raise WorkbenchError(Failure(self.kind, "The time limit of 35 s ran out during the clean proof."))


@pytest.mark.parametrize("kind", ["timeout", "engine"])
async def test_a_verdict_that_was_told_is_kept_when_the_worker_is_out_of_time_or_gone(kind: str) -> None:
    proof = await clean_proof(Ending((REFUSED,), kind), Prove("nowhere"), "", 35.0)  # type: ignore[arg-type]
    assert (proof.verdict, proof.checks) == ("fail", REFUSED.checks)
    (finding,) = proof.findings
    assert finding.words.startswith("the reason was not looked for to its end: The time limit of 35 s ran out")
    assert finding.remedy == ("Raise --timeout to have it looked for." if kind == "timeout" else "")


@pytest.mark.parametrize(("events", "kind"), [((), "timeout"), ((), "engine"), ((REFUSED,), "forward")])
async def test_without_a_verdict_nothing_is_kept(events: tuple[Any, ...], kind: str) -> None:
    with pytest.raises(WorkbenchError):
        await clean_proof(Ending(events, kind), Prove("nowhere"), "", 35.0)  # type: ignore[arg-type]


class Negated(nn.Module):
    """Answers with something else."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.sin(self.model(torch.tanh(x)) * 3)


def staged(tmp_path: Path, right: bool = False) -> Prove:
    made = make(tmp_path, "Net", "trace")
    if not right:
        torch.jit.save(torch.jit.trace(Negated(eager("Net")), torch.randn(4, 5)), str(tmp_path / made.file))
        write_manifest(tmp_path, made.manifest)
    return Prove(str(tmp_path), staged=True)


def test_what_is_refused_is_told_before_its_reasons_are_looked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[Any] = []
    known: list[int] = []
    looked = prove_job.name_faults

    def look(*found: Any) -> Any:
        known.append(sum(isinstance(one, Proof) for one in told))
        return looked(*found)

    monkeypatch.setattr(prove_job, "name_faults", look)
    proof = prove_job.prove(staged(tmp_path), Job(1, lambda body, number: told.append(body)))
    (first,) = [one for one in told if isinstance(one, Proof)]
    assert known == [1]
    assert (first.verdict, failed(first)) == (proof.verdict, failed(proof)) == ("fail", {"values"})


def test_what_passes_is_told_once(tmp_path: Path) -> None:
    told: list[Any] = []
    proof = prove_job.prove(staged(tmp_path, right=True), Job(1, lambda body, number: told.append(body)))
    assert proof.verdict == "pass"
    assert not any(isinstance(one, Proof) for one in told)


def test_reasons_are_looked_for_so_long_and_no_longer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prove_job, "REASON_SECONDS", -1.0)
    proof = prove_job.prove(staged(tmp_path), quiet_job())
    assert (proof.verdict, failed(proof)) == ("fail", {"values"})
    assert [one.words for one in proof.findings if one.id == "reason"] == [
        "the reason was looked for no longer than -1 s, for it takes long to answer"
    ]
