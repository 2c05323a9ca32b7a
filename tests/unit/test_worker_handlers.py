"""The table of handlers is complete, and a failure of any kind becomes the right one."""

from __future__ import annotations

import errno
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from workbench.protocol.exits import KINDS
from workbench.protocol.failures import error
from workbench.protocol.messages import (
    WORKER_REQUESTS,
    Attend,
    Cancel,
    Load,
    Restore,
    SetModes,
    SetYardstick,
    YardstickNow,
)
from workbench.protocol.model import ModeChange, Recipe
from workbench.protocol.runs import Yardstick
from workbench.worker.handlers import TABLE, State, handle
from workbench.worker.job import Cancelled, Job
from workbench.worker.serve import outcome


def test_every_request_that_a_worker_gets_has_a_handler() -> None:
    assert set(TABLE) | {Cancel, Attend} == set(WORKER_REQUESTS)


@pytest.mark.parametrize(
    ("problem", "kind"),
    [
        (error("weights", "said"), "weights"),
        (Cancelled(), "cancelled"),
        (KeyboardInterrupt(), "model"),
        (MemoryError(), "memory"),
        (torch.OutOfMemoryError("CUDA out of memory."), "memory"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes"), "memory"),
        (SystemExit(2), "model"),
        (OSError(errno.ENOSPC, "No space left on device", "/somewhere"), "write"),
        (OSError(errno.ENOENT, "No such file"), "internal"),
        (ZeroDivisionError("ours"), "internal"),
    ],
)
def test_what_was_raised_decides_the_kind(problem: BaseException, kind: str) -> None:
    failure = outcome(problem, Job(1, lambda body, job: None))
    assert failure.kind == kind
    assert failure.kind in KINDS
    assert failure.message
    assert "Traceback" not in failure.message


def test_a_new_model_is_judged_by_tolerance_and_the_face_is_told(tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text("import torch\n\n\ndef net():\n    return torch.nn.Linear(3, 3)\n")
    load = Load(Recipe(f"{tmp_path}/net.py:net", inputs=("input=float32[2,3]",)))
    told: list[str] = []
    job = Job(1, lambda body, number: told.append(body.kind) if isinstance(body, YardstickNow) else None)
    state = State()
    for kind, request, after in (
        ("float64", load, "tolerance"),
        ("given", load, "tolerance"),
        ("float64", replace(load, keep_runs=True, keep_state=True), "tolerance"),  # an edited source
        ("given", replace(load, keep_runs=True, keep_state=True), "given"),
        ("float64", Restore(), "tolerance"),
        ("float64", SetModes(ModeChange(dtype="bfloat16")), "tolerance"),
        ("float64", SetModes(ModeChange(training=True)), "float64"),
    ):
        handle(load, job, state)
        handle(SetYardstick(Yardstick(kind)), job, state)
        assert told[-1] == kind
        handle(request, job, state)
        assert state.judged()[1].yardstick.kind == told[-1] == after


def test_an_interrupt_is_a_cancel_only_where_one_was_asked_for() -> None:
    def forward() -> None:
        raise KeyboardInterrupt

    job = Job(1, lambda body, number: None)
    with pytest.raises(KeyboardInterrupt) as raised:
        forward()
    failure = outcome(raised.value, job)
    assert failure.kind == "model"
    assert failure.where.startswith(__file__)
    assert failure.remedy
    job.cancel()
    assert outcome(raised.value, job).kind == "cancelled"
