"""What a table of errors says: where the error starts, where it grows, what comes out. Pure."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence

from workbench.protocol.cause import CallError

GROWTH = 2.0
"""Times what it was given from which a call is said to make it grow."""


def told(calls: Sequence[CallError]) -> tuple[int, int, str]:
    """(place where it starts, place where it grows most, a sentence); -1 for a place that there is not."""
    starts, grows = _starts(calls), _grows(calls)
    if not calls:
        return -1, -1, "No module was called in both runs."
    out = calls[0].answered
    if starts < 0:
        given = calls[0].received
        if given > calls[0].limit:
            words = f"No module makes an error: the inputs differ by {given:.2g} of their RMS"
        elif out > calls[0].limit:
            words = "No module makes an error beyond the noise by itself"
        else:
            words = "No module makes an error beyond the noise"
    else:
        first = calls[starts]
        words = f"The error starts in {_name(first)}: {_number(first.local)} of its output's RMS"
    if grows >= 0:
        most = calls[grows]
        words += f"; it grows most in {_name(most)}, {most.answered / _floor(most):.3g} times what it was given"
    return starts, grows, f"{words}; the output is off by {_number(out)}."


def _starts(calls: Sequence[CallError]) -> int:
    """The first call beyond the noise, the innermost one that is."""
    for place, call in enumerate(calls):
        if not call.local > call.limit:
            continue
        below = calls_below(calls, place)
        inner = next((one for one in below if calls[one].local > calls[one].limit), -1)
        if inner < 0:
            return place
        # a block is to blame for what its modules do; the first of them stands after it
        return _starts_from(calls, inner)
    return -1


def _starts_from(calls: Sequence[CallError], place: int) -> int:
    inner = next((one for one in calls_below(calls, place) if calls[one].local > calls[one].limit), -1)
    return place if inner < 0 else _starts_from(calls, inner)


def calls_below(calls: Sequence[CallError], place: int) -> range:
    """Places of the calls that the call at `place` makes, and those that they make."""
    end = place + 1
    while end < len(calls) and calls[end].depth > calls[place].depth:
        end += 1
    return range(place + 1, end)


def _grows(calls: Sequence[CallError]) -> int:
    best, found = GROWTH, -1
    for place, call in enumerate(calls):
        if call.inner or not call.received > 0 or not math.isfinite(call.answered) or call.answered <= call.limit:
            continue
        growth = call.answered / _floor(call)
        if growth > best:
            best, found = growth, place
    return found


def _floor(call: CallError) -> float:
    """What it was given, at least the noise: growth from nothing is no growth."""
    return max(call.received, call.limit)


def _name(call: CallError) -> str:
    number = f", call {call.call + 1}" if call.call else ""
    at = f" at {os.path.basename(call.where)}" if call.where else ""
    return f"{call.path or 'the model itself'} ({call.type}{number}){at}"


def _number(value: float) -> str:
    return "an unknown amount" if math.isnan(value) else "∞" if math.isinf(value) else f"{value:.2g}"
