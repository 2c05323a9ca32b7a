"""The list under the path of the open screen: files while a path is typed, classes once it is a file.

Owns what is listed and which row of it is selected, and has the selected one told about.
"""

from __future__ import annotations

from collections.abc import Sequence

from textual.content import Content
from textual.widgets import OptionList
from textual.widgets.option_list import Option

from workbench.client.directories import kind_of
from workbench.protocol.model import Candidate
from workbench.protocol.text import clean_line

from .about import About


class Found(OptionList, can_focus=False):
    """Rows of paths or of candidates, never of both; empty while there is nothing to offer."""

    def __init__(self, about: About) -> None:
        super().__init__(id="found", compact=True)
        self._about = about
        self.paths: list[str] = []
        self.candidates: tuple[Candidate, ...] = ()

    @property
    def path(self) -> str:
        """The selected path; empty when none is, or classes are listed."""
        return self.paths[self.highlighted] if self.paths and self.highlighted is not None else ""

    @property
    def candidate(self) -> Candidate | None:
        """The selected class; None when none is, or paths are listed."""
        return self.candidates[self.highlighted] if self.candidates and self.highlighted is not None else None

    def offer(self, paths: Sequence[str]) -> None:
        """List paths, the first selected."""
        self.paths, self.candidates = list(paths), ()
        self._fill([self._path_row(path) for path in paths])

    def _path_row(self, path: str) -> Content:
        about = f"   {kind_of(self._about.place_of(path))}" if path.endswith("/") else ""
        return Content(clean_line(path)) + Content.styled(about, "dim")

    def offer_classes(self, candidates: Sequence[Candidate], wanted: str) -> None:
        """List what a file defines, and select what was typed of it."""
        self.paths, self.candidates = [], tuple(candidates)
        self._fill([_candidate_row(one) for one in candidates])
        self.select(wanted)

    def select(self, wanted: str) -> None:
        """Select the class that is typed, or the first that begins so; none when none does: what is typed counts."""
        self.highlighted = _begun([one.name for one in self.candidates], wanted)

    def move(self, by: int) -> None:
        """Up or down, and round the ends."""
        if self.option_count:
            start = self.highlighted if self.highlighted is not None else min(by, 0) - max(by, 0)
            self.highlighted = (start + by) % self.option_count

    def _fill(self, rows: Sequence[Content]) -> None:
        self.clear_options()
        self.add_options([Option(row) for row in rows])
        if not rows:
            self._about.clear()
        self.highlighted = 0 if rows else None

    def watch_highlighted(self, highlighted: int | None) -> None:
        """Have it said what is selected."""
        super().watch_highlighted(highlighted)
        if self.candidate is not None:
            self._about.tell_class(self.candidate)
        elif self.path:
            self._about.tell_file(self.path)


def _begun(names: Sequence[str], wanted: str) -> int | None:
    """The place of a name, or of the first that begins so."""
    begun = [at for at, name in enumerate(names) if name.startswith(wanted)]
    return names.index(wanted) if wanted in names else begun[0] if begun else None


def _candidate_row(candidate: Candidate) -> Content:
    arguments = f"({', '.join(candidate.arguments)})" if candidate.kind != "instance" else ""
    row = Content.styled(candidate.name, "bold") + Content(arguments)
    about = f"   {candidate.kind}, line {candidate.line}"
    if candidate.summary:
        about += f": {candidate.summary}"
    return row + Content.styled(about, "dim")
