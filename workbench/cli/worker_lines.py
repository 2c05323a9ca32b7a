"""What workers print, on stderr. A failed kernel of a GPU says so once for each of its threads: told once, counted."""

from __future__ import annotations

import re
from collections.abc import Iterable

from .talk import say

_OF_A_KERNEL = re.compile(r"\.cuh?:\d+: .*Assertion `")
_NUMBER = re.compile(r"\d+")


class WorkerLines:
    """Prints lines as they come."""

    def __init__(self) -> None:
        self._last = ""
        """The last line of a kernel's, without its numbers."""
        self._more = 0

    def show(self, role: str, lines: Iterable[str]) -> None:
        """Print the lines of one worker."""
        for text in lines:
            form = _NUMBER.sub("", text) if _OF_A_KERNEL.search(text) else ""
            if form and form == self._last:
                self._more += 1
                continue
            self.end()
            self._last = form
            say(f"[{role}] {text}")

    def end(self) -> None:
        """Say how many lines were like the last."""
        if self._more:
            say(f"… {self._more} more like it")
        self._last, self._more = "", 0
