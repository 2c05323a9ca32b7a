"""What is held to account: every reader of a stranger's file, and what counts as a fair answer of one."""

from __future__ import annotations

import threading
import traceback
from collections.abc import Callable
from pathlib import Path

from workbench.protocol.exits import KINDS
from workbench.protocol.failures import WorkbenchError
from workbench.protocol.messages import Inspect
from workbench.supervisor.fingerprint import fingerprint
from workbench.supervisor.scan import scan
from workbench.worker.artifact.inspect import inspect
from workbench.worker.bench import input_files, weights
from workbench.worker.job import Job

Reader = Callable[[str], object]


def _inputs(path: str) -> object:
    return [input_files.read(one) for one in input_files.find_files((path,), "")]


def _scan(path: str) -> object:
    return scan(path, threading.Event()) if path.endswith(".py") else None


READERS: dict[str, Reader] = {
    "inspect": lambda path: inspect(Inspect(path), Job(1, lambda body, number: None)),
    "fingerprint": lambda path: fingerprint(path, threading.Event()),
    "weights": lambda path: weights.read(path),
    "inputs": _inputs,
    "scan": _scan,
}
"""In the order in which each file is given to them."""


def unfair(read: Reader, path: Path) -> str:
    """Why an answer is none: an exception that says nothing to a person. Empty for a result or a plain refusal."""
    try:
        read(str(path))
    except WorkbenchError as problem:
        failure = problem.failure
        if failure.kind not in KINDS or failure.kind == "internal":
            return f"the kind {failure.kind!r}: {failure.message}"
        if len(failure.message) < 15 or "Traceback" in failure.message:
            return f"words that say nothing: {failure.message!r}"
    except Exception as problem:  # noqa: BLE001 (whatever else a reader raises is what is looked for)
        where = traceback.extract_tb(problem.__traceback__)[-1]
        return f"{type(problem).__name__}: {problem} at {Path(where.filename).name}:{where.lineno}"
    return ""
