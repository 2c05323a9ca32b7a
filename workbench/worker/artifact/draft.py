"""Every line that keeps a model from being exported, by torch's draft export, which follows the example's values."""

from __future__ import annotations

import contextlib
import logging
import os
import tempfile
import warnings
from collections.abc import Iterator
from typing import Any

import torch
from torch._logging.structured import INTERN_TABLE

from workbench.worker.artifact.export_errors import graph_unprinted, place_of
from workbench.worker.artifact.subject import Subject
from workbench.worker.bench.failing import is_users
from workbench.worker.bench.sampling import map_tensors


def obstacles(subject: Subject) -> list[str]:
    """Each line that a program could not follow: its place, the condition, and what it is for the example.

    Empty where not even a draft can be made. Runs a copy of the model once.
    """
    report = getattr(_drafted(subject), "_report", None)
    files = {number: name for name, number in INTERN_TABLE.items()}  # the report's own table lacks names known before
    lines: dict[str, None] = {}
    for failure in getattr(report, "failures", ()):
        stack = failure.data.get("user_stack") or failure.data.get("stack") or ()
        frames = [(str(files.get(one["filename"], "")), one["line"]) for one in stack if isinstance(one, dict)]
        users = [frame for frame in frames if is_users(frame[0])]
        place, source = place_of(*users[-1]) if users else ("", "")
        asked = failure.data.get("expr") or failure.data.get("op") or failure.failure_type.name.lower()
        value = f", {failure.data['result']} for the example" if "result" in failure.data else ""
        lines[f"{place}: `{source}` asks {asked}{value}" if place else f"{asked}{value}"] = None
    return list(lines)


def _drafted(subject: Subject) -> Any:
    """What torch's draft export says: it follows the example's own values where a program cannot; None when not even
    that can be done."""
    args, kwargs = map_tensors(subject.args, torch.clone), map_tensors(subject.kwargs, torch.clone)
    try:
        with torch.no_grad(), _quiet_draft(), graph_unprinted(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return torch.export.draft_export(subject.copy(), args, kwargs or None)
    except Exception:  # noqa: BLE001 (the export has failed already: this only adds to its words)
        return None


@contextlib.contextmanager
def _quiet_draft() -> Iterator[None]:
    """A draft export prints its report, and leaves a log in the temporary directory; here it does neither."""
    logger, trace = logging.getLogger("torch.export._draft_export"), logging.getLogger("torch.__trace")
    before, directory = (logger.disabled, trace.disabled), os.environ.get("TORCH_DTRACE")
    logger.disabled, trace.disabled = True, False  # the user's code may have disabled what the report is read from
    try:
        with tempfile.TemporaryDirectory(prefix="workbench-") as nowhere:
            os.environ["TORCH_DTRACE"] = nowhere
            yield
    finally:
        logger.disabled, trace.disabled = before
        if directory is None:
            os.environ.pop("TORCH_DTRACE", None)
        else:
            os.environ["TORCH_DTRACE"] = directory
