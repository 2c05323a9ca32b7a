"""Whether a GPU still answers this process. A kernel that went wrong (an index outside of a table is one) takes the
process's whole context on the device with it: every later call raises, and only a new process can go on.

Never imports torch: where nobody has, there is no device to lose.
"""

from __future__ import annotations

import sys
from typing import Any

from workbench.protocol.failures import Failure

CODE = 3
"""Exit status of a process that ends for it."""


def lost_device(failure: Failure | None) -> str:
    """Why the device answers no more, in one sentence, with where the job failed that found it so; empty: it does."""
    torch: Any = sys.modules.get("torch")
    cuda = getattr(torch, "cuda", None)  # half imported, as long as an import of it is under way
    if cuda is None or not cuda.is_initialized():
        return ""
    try:
        cuda.synchronize()
        for number in range(cuda.device_count()):  # waiting for one says nothing about another
            if cuda.memory_reserved(number):  # waiting for one that is not used would take memory on it
                cuda.synchronize(number)
    except Exception as problem:  # noqa: BLE001 (whatever it raises, it no longer answers)
        reason = str(problem).strip().split("\n")[0]
        return f"the GPU answers this process no more: {reason}{_shown(failure)}{_likely(reason)}"
    return ""


def _shown(failure: Failure | None) -> str:
    if failure is None or not failure.where:
        return ""
    return f"; it showed at {failure.where}, and may have begun before"


def _likely(reason: str) -> str:
    if "device-side assert" not in reason:
        return ""
    return "; most often an index lies outside of a table, which the same call with --device cpu names"
