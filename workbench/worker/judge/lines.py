"""At which line of the user's code something moves during a forward: lines show it where operators do not.

Owns the trace function. It changes nothing, and a traced forward is slow: use it to name a place, never for a verdict.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

from workbench.worker.bench.failing import is_users

LINES = 50_000
"""Lines of user code after which nobody looks any more: each is some 20 µs."""


def first_change(state: Callable[[], Any], forward: Callable[[], Any]) -> str:
    """file.py:line of the user's after which `state` gives something else, in one run of `forward`; empty where none
    was seen. Raises what the forward raises."""
    lines = _Lines(state)
    before = sys.gettrace()
    sys.settrace(lines.called)
    try:
        forward()
    finally:
        sys.settrace(before)
    return lines.found


class _Lines:
    """Follows the user's frames line by line until the state is another."""

    def __init__(self, state: Callable[[], Any]) -> None:
        self.found = ""
        self._state, self._before = state, state()
        self._last, self._left = "", LINES

    def called(self, frame: FrameType, event: str, arg: Any) -> Any:
        if self.found or not self._left or not is_users(frame.f_code.co_filename):
            return None
        self._look(frame)
        return self._step

    def _step(self, frame: FrameType, event: str, arg: Any) -> Any:
        """A line is about to run, or a frame is left: what moved did so at the line before."""
        if self.found or not self._left:
            return None
        self._look(frame)
        back = frame.f_back
        if event == "return" and back is not None and is_users(back.f_code.co_filename):
            self._last = _place(back)
        return self._step

    def _look(self, frame: FrameType) -> None:
        self._left -= 1
        if self._last and self._state() != self._before:
            self.found = self._last
        self._last = _place(frame)


def _place(frame: FrameType) -> str:
    return f"{os.path.basename(frame.f_code.co_filename)}:{frame.f_lineno}"
