"""What the death of a process that proves an artifact says about it. Stdlib only: verify.py carries this file."""

from __future__ import annotations

import signal

from workbench.protocol.artifacts import PROOF_IDS, CheckRow, Proof
from workbench.protocol.runs import BEYOND

FATAL = frozenset(-number for number in (signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGFPE, signal.SIGILL))
"""Exit statuses of a process whose native code went wrong: nobody sends these from outside."""

SIGNAL_WORDS = {
    "SIGSEGV": "segmentation fault in native code",
    "SIGABRT": "native code aborted",
    "SIGBUS": "bus error: a file that was mapped into memory became shorter or could not be read",
    "SIGFPE": "arithmetic error in native code (SIGFPE)",
    "SIGILL": "illegal instruction: native code was built for another processor",
    "SIGSYS": "a system call was refused (SIGSYS)",
    "SIGTRAP": "native code stopped at a trap (SIGTRAP)",
    "SIGXCPU": "killed by the kernel: its limit of processor time was reached",
    "SIGXFSZ": "killed by the kernel: it wrote a file beyond the size limit",
    "SIGPIPE": "it wrote into a pipe that nobody reads any more (SIGPIPE)",
}
"""What a signal means that ends a process by its own doing; any other came from outside."""


def signal_name(number: int) -> str:
    """Its name, as SIGSEGV; "signal 99" for what has no name here."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def died_of_it(cause: str, seconds: float) -> Proof:
    """The verdict on an artifact of which the process died that proved it: it must not be shipped."""
    rows = {
        "load": CheckRow(
            "load",
            "fail",
            f"the process that loaded and ran it died: {cause}",
            "native code of the artifact, or of torch reading it, failed",
            "Make it again on the machine that it is for; nothing else was running in that process.",
        )
    }
    rest = "not reached: the process died"
    checks = tuple(rows.get(check) or CheckRow(check, "skip", rest) for check in PROOF_IDS)
    return Proof(
        "fail", BEYOND, checks, (), (), 0, 0.0, "tolerance", "nothing was compared", seconds, 0.0, "", "", False
    )
