"""The table of handlers is complete, and a failure of any kind becomes the right one."""

from __future__ import annotations

import errno

import pytest
import torch

from workbench.protocol.exits import KINDS
from workbench.protocol.failures import error
from workbench.protocol.messages import WORKER_REQUESTS, Attend, Cancel
from workbench.worker.handlers import TABLE
from workbench.worker.job import Cancelled, Job
from workbench.worker.serve import outcome


def test_every_request_that_a_worker_gets_has_a_handler() -> None:
    assert set(TABLE) | {Cancel, Attend} == set(WORKER_REQUESTS)


@pytest.mark.parametrize(
    ("problem", "kind"),
    [
        (error("weights", "said"), "weights"),
        (Cancelled(), "cancelled"),
        (KeyboardInterrupt(), "cancelled"),
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
