"""Which rows of a table of errors say most. Pure."""

from __future__ import annotations

import math

from workbench.protocol.cause import CallError, ErrorTable


def telling(errors: ErrorTable, most: int) -> list[tuple[int, CallError]]:
    """(place, call) of at most `most` calls in their order: where it starts and grows, the root, the largest errors."""
    calls = errors.calls
    first = [place for place in (errors.starts, errors.grows, 0) if 0 <= place < len(calls)]
    by_error = sorted(range(len(calls)), key=lambda place: (-_size(calls[place].local), -_size(calls[place].answered)))
    chosen = list(dict.fromkeys([*first, *by_error]))[:most]
    return [(place, calls[place]) for place in sorted(chosen)]


def _size(value: float) -> float:
    return -1.0 if math.isnan(value) else value
