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


def first_change(state: Callable[[], Any], forward: Callable[[], Any], lasting: bool = False) -> str:
    """file.py:line of the user's after which `state` gives something else, in one run of `forward`; empty where none
    was seen. With `lasting`, what was put back before the end does not count. Raises what the forward raises."""
    lines = _Lines(state, lasting)
    before = sys.gettrace()
    sys.settrace(lines.called)
    try:
        forward()
    finally:
        sys.settrace(before)
    return lines.found


class _Lines:
    """Follows the user's frames line by line until the state is another."""

    def __init__(self, state: Callable[[], Any], lasting: bool) -> None:
        self.found = ""
        self._lasting = lasting
        self._state = state
        self._before: Any = None
        self._last, self._left = "", LINES

    def called(self, frame: FrameType, event: str, arg: Any) -> Any:
        if self._over or not is_users(frame.f_code.co_filename):
            return None
        if not self._last:  # inside of the contexts that a forward is run in
            self._before = self._state()
        self._look(frame)
        return self._step

    def _step(self, frame: FrameType, event: str, arg: Any) -> Any:
        """A line is about to run, or a frame is left: what moved did so at the line before."""
        if self._over:
            return None
        self._look(frame)
        back = frame.f_back
        if event == "return" and back is not None and is_users(back.f_code.co_filename):
            self._last = _place(back)
        return self._step

    @property
    def _over(self) -> bool:
        return not self._left or bool(self.found and not self._lasting)

    def _look(self, frame: FrameType) -> None:
        self._left -= 1
        moved = self._last and self._state() != self._before
        self.found = (self.found or self._last) if moved else ""
        self._last = _place(frame)


def _place(frame: FrameType) -> str:
    return f"{os.path.basename(frame.f_code.co_filename)}:{frame.f_lineno}"
