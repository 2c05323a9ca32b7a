"""Why a worker died, in words. Pure: it looks at what is left behind and touches nothing."""

from __future__ import annotations

import re
from collections.abc import Sequence

from workbench.protocol.died import SIGNAL_WORDS, signal_name
from workbench.protocol.failures import Failure
from workbench.protocol.messages import WorkerDied

INTERPRETER = "Give a Python of at least 3.10 that has torch: --python PATH."
"""What to do when a worker cannot be started with its interpreter."""

_RUNGS = {
    "asked": "ended by the workbench: it went when asked",
    "interrupt": "ended by the workbench: interrupted",
    "terminate": "ended by the workbench: terminated, for it did not go when asked",
    "kill": "ended by the workbench: killed, for it did not answer",
}

_FRAME = re.compile(r'^\s+File "(?P<file>.+)", line (?P<line>\d+) in (?P<function>.+)$')
_LIBRARY = re.compile(r"/(site-packages|dist-packages|lib/python\d[^/]*)/|^<frozen")
_ERROR = re.compile(r"^(?P<text>(?:[A-Za-z_][\w.]*)(?:Error|Exception|Interrupt|Exit|Warning)\b.*)$")
_ABORT = re.compile(
    r"^\s*(?:what\(\):|terminate called|.*[Aa]ssertion .* failed|free\(|malloc|corrupted|double free"
    r"|Fatal Python error: (?!Aborted))"
)


def cause(code: int, rung: str = "", tail: Sequence[str] = (), out_of_memory: bool | None = None) -> str:
    """The reason in one sentence without a full stop.

    `code` is the exit status, negative for a signal; `rung` how far we went to end it, empty when we did not;
    `tail` its last lines on standard error; `out_of_memory` whether the kernel counted a kill for want of memory
    while it lived (None: the kernel does not say).
    """
    if rung:
        return _RUNGS.get(rung, "ended by the workbench")
    if code < 0:
        return _signalled(-code, tail, out_of_memory)
    if code == 0:
        return "it ended by itself (exit code 0)"
    if tail and "cannot import torch: " in tail[-1]:
        return tail[-1].strip()
    if last := last_error(tail):
        return f"it stopped with an error: {last}"
    return f"it called os._exit({code})"


def stillborn(code: int, interpreter: str, tail: Sequence[str]) -> str:
    """The reason in the same form for a program that ended with `code` before it said hello."""
    last = tail[-1].strip() if tail else ""
    said = f"it said: {last}" if last else "it said nothing"
    return f"{interpreter} ended with exit code {code} before it could run a worker, and {said}"


def not_started(died: WorkerDied, interpreter: str, purpose: str = "") -> Failure:
    """What to say when a worker was gone before it was ready; `purpose`: what it was for, empty for the bench."""
    worker = f"The worker for {purpose}" if purpose else "The worker"
    remedy = "" if died.expected else INTERPRETER
    return Failure("engine", f"{worker} did not start: {died.cause}.", interpreter, remedy, "\n".join(died.tail))


def _signalled(number: int, tail: Sequence[str], out_of_memory: bool | None) -> str:
    name = signal_name(number)
    if name == "SIGKILL":
        if out_of_memory:
            return "killed by the kernel: out of memory"
        doubt = "; the kernel does that too when memory runs out" if out_of_memory is None else ""
        return f"killed from outside (SIGKILL{doubt})"
    words = SIGNAL_WORDS.get(name)
    if words is None:
        return f"killed from outside ({name})"
    if name == "SIGABRT" and (reason := _abort_reason(tail)):
        words += f": {reason}"
    place = crash_place(tail)
    return f"{words}, {place}" if place else words


def crash_place(tail: Sequence[str]) -> str:
    """Where Python stood when the process crashed: "at net.py:12 in forward", from faulthandler's report; or ""."""
    frames: list[re.Match[str]] = []
    inside = False
    for line in tail:
        if line.startswith("Current thread"):
            frames, inside = [], True
        elif inside and (frame := _FRAME.match(line)):
            frames.append(frame)
        elif inside and not line.startswith("  "):
            inside = False
    if not frames:
        return ""
    own = next((frame for frame in frames if not _LIBRARY.search(frame["file"])), frames[0])
    return f"at {own['file']}:{own['line']} in {own['function']}"


def last_error(tail: Sequence[str]) -> str:
    """The line that names the exception of the last Python traceback; empty when there is none."""
    for index in range(len(tail) - 1, -1, -1):
        if tail[index].startswith("Traceback (most recent call last)"):
            for line in tail[index + 1 :]:
                if found := _ERROR.match(line):
                    return found["text"]
            return ""
    return ""


def _abort_reason(tail: Sequence[str]) -> str:
    for line in reversed(tail):
        if _ABORT.match(line):
            return line.strip().removeprefix("Fatal Python error: ")
    return ""
