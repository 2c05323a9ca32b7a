"""The one place for exit codes, and for which failure leads to which."""

from __future__ import annotations

import enum
from collections.abc import Iterable


class Exit(enum.IntEnum):
    """Exit codes of the command line. They are a contract: see `workbench --help`."""

    OK = 0
    VERDICT_NO = 1
    USAGE = 2
    LOAD = 3
    ENGINE = 4
    TRUST = 5
    WRITE = 6
    INTERNAL = 70
    INTERRUPTED = 130


_PRECEDENCE = (
    Exit.INTERRUPTED,
    Exit.INTERNAL,
    Exit.TRUST,
    Exit.ENGINE,
    Exit.WRITE,
    Exit.LOAD,
    Exit.USAGE,
    Exit.VERDICT_NO,
)

_BY_KIND = {
    "verdict": Exit.VERDICT_NO,
    "export": Exit.VERDICT_NO,
    "usage": Exit.USAGE,
    "exists": Exit.USAGE,
    "terminal": Exit.USAGE,
    "load": Exit.LOAD,
    "model": Exit.LOAD,
    "weights": Exit.LOAD,
    "artifact": Exit.LOAD,
    "forward": Exit.LOAD,
    "inputs": Exit.LOAD,
    "device": Exit.LOAD,
    "memory": Exit.LOAD,
    "engine": Exit.ENGINE,
    "timeout": Exit.ENGINE,
    "trust": Exit.TRUST,
    "write": Exit.WRITE,
    "internal": Exit.INTERNAL,
    "cancelled": Exit.INTERRUPTED,
}

KINDS = frozenset(_BY_KIND)
"""Every kind a `Failure` may have."""


def exit_for(kind: str) -> Exit:
    """The exit code of one failure kind; a kind that is not known is an error of our own."""
    return _BY_KIND.get(kind, Exit.INTERNAL)


def worst(codes: Iterable[Exit]) -> Exit:
    """The code to leave with when several apply."""
    found = set(codes)
    for code in _PRECEDENCE:
        if code in found:
            return code
    return Exit.OK
