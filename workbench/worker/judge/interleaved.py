"""Owns how threads are made to change places while a model is called from several: races that luck would hide show."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterator
from types import FrameType
from typing import Any

SWITCH = 1e-5
"""Seconds after which Python may switch threads meanwhile: a race that Python's own 5 ms would hide for days shows."""
NAP = 1e-6
"""Seconds asked for; the system's timer makes some 50 µs of it, in which every other thread comes on."""
DENSE = 256
"""Calls of native code after each of which a thread gives way; then ever fewer, so that long forwards end in time."""


@contextlib.contextmanager
def eager_switching() -> Iterator[None]:
    """Python switches threads as often as it can; for all of them."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(SWITCH)
    try:
        yield
    finally:
        sys.setswitchinterval(before)


@contextlib.contextmanager
def giving_way() -> Iterator[None]:
    """This thread sleeps for a moment between operators, so that others run in between however busy the machine is.

    By Python's profiler, which the operators themselves do not see; a profiler that is set already stays.
    """
    former = sys.getprofile()
    if former is not None:
        yield
        return
    done, due = 0, 1

    def look(frame: FrameType, event: str, argument: Any) -> None:
        nonlocal done, due
        if event != "c_return":
            return
        done += 1
        if done >= due:
            due = done + 1 + done // DENSE
            time.sleep(NAP)

    sys.setprofile(look)
    try:
        yield
    finally:
        sys.setprofile(None)
