"""What an error out of the user's forward means, in plain words, with the place and the next thing to type."""

from __future__ import annotations

from typing import Any

from torch import nn

from workbench.protocol.failures import Failure, WorkbenchError
from workbench.worker.bench.failing import first_line, full_text, users_place


def explain(problem: BaseException, model: nn.Module | None = None, args: Any = ()) -> Failure:
    """The failure that `problem`, raised by a forward of `model`, means to the person."""
    if isinstance(problem, WorkbenchError):
        return problem.failure
    message = f"The model raised while it ran: {first_line(problem)}."
    return Failure("forward", message, users_place(problem), "", full_text(problem))
