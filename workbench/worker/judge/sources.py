"""Calls of clocks, of the system's entropy and of Python's generators inside one module call, with the user's line.

Owns the profile function, which sees C functions only while the call is open. It changes no value.
"""

from __future__ import annotations

import contextlib
import os
import random
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from workbench.worker.judge.watch import Watcher, users_line

_CLOCKS = {
    "time", "time_ns", "monotonic", "monotonic_ns", "perf_counter", "perf_counter_ns", "process_time",
    "process_time_ns", "thread_time", "localtime", "gmtime",
}  # fmt: skip
_DRAWS = ("Random.random", "Random.getrandbits", "Random.seed")
MOST = 64
"""Calls that are kept."""


@dataclass(frozen=True)
class Source:
    """One call of something that answers otherwise each time."""

    kind: str
    """"clock", "entropy" or "random"."""
    name: str
    """ "time.time", "os.urandom", "random.random"."""
    where: str
    """file:line of the user's code."""
    owner: Any = None
    """The `random.Random` that was drawn from, unless it is Python's own."""


_OURS = os.path.join(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))), "")
"""Where the workbench's own code lies."""


@contextlib.contextmanager
def sources(watcher: Watcher, key: tuple[str, int]) -> Iterator[list[Source]]:
    """Inside, calls made within the call `key` of the watched forward are listed."""
    found: list[Source] = []

    def look(frame: Any, event: str, argument: Any) -> None:
        if event != "c_call" or len(found) >= MOST or not any(call.key == key for call in watcher.stack):
            return
        if frame.f_code.co_filename.startswith(_OURS):  # our hooks look at the clock, too, to see whether time is up
            return
        kind, name, owner = _source(argument)
        if kind:
            where, _ = users_line(frame)
            one = Source(kind, name, where, owner)
            if where and one not in found:
                found.append(one)

    before = sys.getprofile()
    sys.setprofile(look)
    try:
        yield found
    finally:
        sys.setprofile(before)


def _source(function: Any) -> tuple[str, str, Any]:
    """(kind, name, owner) of a C function; an empty kind for all that answer the same each time."""
    module = getattr(function, "__module__", None)
    name = str(getattr(function, "__qualname__", ""))
    if module == "time" and name in _CLOCKS:
        return "clock", f"time.{name}", None
    if name in ("datetime.now", "datetime.utcnow", "date.today", "datetime.today"):
        return "clock", name, None
    if module in ("posix", "nt") and name in ("urandom", "getrandom"):
        return "entropy", f"os.{name}", None
    if name in _DRAWS:
        owner = getattr(function, "__self__", None)
        ours = owner is random._inst
        return "random", f"random.{name.partition('.')[2]}", None if ours else owner
    return "", "", None
