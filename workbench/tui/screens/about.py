"""What is selected on the open screen, in a few lines: a file as `inspect` sees it, or a class and what it wants.

Owns when a file is looked at: not while somebody still moves over it, and never twice while it stays the same. None of
the file's code is run.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable

from textual.content import Content
from textual.widgets import Static

from workbench.protocol.artifacts import Inspection
from workbench.protocol.failures import WorkbenchError
from workbench.protocol.model import Candidate
from workbench.tui.draw.inspection import short_told

from .arguments import needed, optional

PAUSE = 0.15
"""Seconds that a file has to stay selected before it is looked at."""

_REMEMBERED = 200
"""Files whose answers are kept."""

Look = Callable[[str], Awaitable[Inspection]]


class About(Static):
    """At most four lines; empty while nothing is selected."""

    DEFAULT_CSS = """
    About { min-height: 3; max-height: 4; padding-left: 11; }
    """

    def __init__(self, look: Look, base: str) -> None:
        super().__init__("", markup=False, id="about")
        self._look, self._base = look, base
        self._known: dict[tuple[str, int, int, int], list[tuple[str, str]]] = {}

    def clear(self) -> None:
        """Nothing is selected."""
        self.workers.cancel_node(self)
        self._say([])

    def place_of(self, path: str) -> str:
        """Where a path that is offered lies."""
        return os.path.join(self._base, os.path.expanduser(path))

    def tell_class(self, candidate: Candidate) -> None:
        """The arguments of its constructor, those first that have no default."""
        self.workers.cancel_node(self)
        wants, may = needed(candidate.arguments), optional(candidate.arguments)
        lines = [("bold", f"{candidate.name} needs {', '.join(wants)}")] if wants else []
        if may:
            lines.append(("", f"{'and' if wants else candidate.name} takes {', '.join(may)}"))
        self._say(lines or [("dim", f"{candidate.name} takes no arguments")])

    def tell_file(self, path: str) -> None:
        """What a file or a directory holds, once it has stayed selected for a moment."""
        place = self.place_of(path)
        try:
            found = os.stat(place)
        except OSError:
            self.clear()
            return
        key = (place, found.st_ino, found.st_size, found.st_mtime_ns)
        if key in self._known:
            self.workers.cancel_node(self)
            self._say(self._known[key])
            return
        self.run_worker(self._ask(place, key), group="about", exclusive=True, exit_on_error=False)

    async def _ask(self, place: str, key: tuple[str, int, int, int]) -> None:
        await asyncio.sleep(PAUSE)
        self._say([("dim", "looking …")])  # what was selected before is not what this is
        try:
            lines = short_told(await self._look(place))
        except WorkbenchError as problem:
            plain_directory = os.path.isdir(place) and problem.failure.kind == "artifact"
            lines = [] if plain_directory else [("bad", problem.failure.message)]
        if len(self._known) >= _REMEMBERED:
            self._known.clear()
        self._known[key] = lines
        self._say(lines)

    def _say(self, lines: list[tuple[str, str]]) -> None:
        styles = {"bad": "$text-error", "dim": "dim"}
        told = Content("\n").join(Content.styled(text, styles.get(style, style)) for style, text in lines)
        if str(self.content) != told.plain:
            self.update(told)
