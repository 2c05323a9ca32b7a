"""Watches over the process in which verify.py proves: whatever becomes of it, there is a verdict and its exit code.

The script forks at its top, before torch is there: the child goes on and proves, the parent waits, and speaks only
where the child did not. Carried into a bundle's verify.py, as what runs first: the standard library and carried modules
only.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
import time
from pathlib import Path

from workbench.protocol.died import FATAL, SIGNAL_WORDS, died_of_it, signal_name
from workbench.worker.artifact.verify_said import (
    VERIFY_ENGINE,
    VERIFY_EXITS,
    VERIFY_INTERRUPTED,
    verify_say_error,
    verify_say_proof,
)

_WATCH_PIPE: list[int] = []
"""Where the child tells how far it is; empty in what nobody watches."""

_WATCH_PARENT_DIES = 1
"""PR_SET_PDEATHSIG (linux/prctl.h)."""


def watch_begun(stage: Path, as_json: bool) -> None:
    """Tell that a proof of `stage` begins: from here on this process may not end without a verdict."""
    _watch_tell({"stage": str(stage), "json": as_json})


def watch_ended(code: int) -> None:
    """Tell that the verdict was printed: how this process goes after that says nothing about it."""
    _watch_tell({"code": code})


def _watch_tell(word: dict[str, object]) -> None:
    for pipe in _WATCH_PIPE:
        os.write(pipe, f"{json.dumps(word)}\n".encode())


def watched() -> None:
    """Go on in a child and leave with its exit code: only the child returns, and the caller where there is no fork."""
    if not hasattr(os, "fork"):
        return
    parent, started = os.getpid(), time.perf_counter()
    heard, pipe = os.pipe()
    child = os.fork()
    if not child:
        os.close(heard)
        _WATCH_PIPE.append(pipe)
        _watch_end_with(parent)
        return
    os.close(pipe)
    told: dict[str, object] = {}
    try:
        with open(heard, encoding="utf-8") as stream:
            for line in stream:
                told.update(json.loads(line))
        status = os.waitpid(child, 0)[1]
    except KeyboardInterrupt:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        sys.exit(VERIFY_INTERRUPTED)
    died = -os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)
    sys.exit(_watch_code(told, died, time.perf_counter() - started))


def _watch_end_with(parent: int) -> None:
    """When the parent is killed, so is this process: nobody would wait for its verdict."""
    if sys.platform != "linux":
        return
    ctypes.CDLL(None).prctl(_WATCH_PARENT_DIES, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(VERIFY_ENGINE)  # it was quicker


def _watch_code(told: dict[str, object], died: int, seconds: float) -> int:
    """The exit code to leave with; prints the verdict where the child ended without one."""
    if isinstance(told.get("code"), int):
        return int(str(told["code"]))
    if "stage" not in told:  # no proof was begun: whoever asked has to see how it ended
        if died < 0:
            signal.signal(-died, signal.SIG_DFL)
            os.kill(os.getpid(), -died)
        return died
    stage, as_json = Path(str(told["stage"])), bool(told["json"])
    name = signal_name(-died) if died < 0 else ""
    if died in FATAL:
        proof = died_of_it(SIGNAL_WORDS[name], seconds)
        verify_say_proof(stage, proof, as_json)
        return VERIFY_EXITS[proof.verdict]
    how = SIGNAL_WORDS.get(name, f"killed from outside ({name})") if name else f"it called os._exit({died})"
    remedy = "Run it again; when memory ran out, somewhere with more of it."
    verify_say_error("engine", f"The process that proves ended without a verdict: {how}.", str(stage), remedy, as_json)
    return VERIFY_ENGINE


if __name__ == "__main__":
    watched()
