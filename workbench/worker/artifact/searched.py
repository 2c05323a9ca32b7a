"""What a search for a counterexample did and found, and how that is said: no more than was covered."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch

from workbench.protocol.artifacts import Finding
from workbench.worker.artifact.branch_copies import Branch
from workbench.worker.artifact.parts import Parting
from workbench.worker.artifact.search_inputs import Input
from workbench.worker.judge.leaves import Flat


@dataclass
class Counterexample:
    """An input on which both part, with eager's answer."""

    input: Input
    eager: Flat
    exact: dict[str, torch.Tensor]
    """The float64 answer by leaf path, where there is a real one."""
    after: dict[str, torch.Tensor]
    """What eager leaves in those inputs that it writes to."""
    difference: str
    """What the artifact answered instead, in words."""


@dataclass
class Searched:
    """What a search did, and what it found."""

    tried: int = 0
    """Inputs that eager answered and the artifact was asked."""
    refused: int = 0
    """Inputs that eager itself does not take."""
    seconds: float = 0.0
    seed: int = 0
    branches: list[Branch] = field(default_factory=list)
    """Those that depend on the input."""
    unwatched: list[str] = field(default_factory=list)
    """Functions of the user's whose branches could not be watched: "scale (model.py:12)"."""
    found: Counterexample | None = None
    parts: Parting = field(default_factory=Parting)
    """Where both part; without words where they do not, or where that was not found."""
    rewritten: dict[str, str] = field(default_factory=dict)
    """The artifact's name of each parameter that is the checkpoint's times a factor, undone elsewhere → its sha256."""
    why_not: str = ""
    """Why nothing was searched; empty when it was."""

    def finding(self) -> Finding:
        """What was covered, in words that claim no more."""
        if self.why_not:
            return Finding("search", f"no search for a counterexample: {self.why_not}")
        words = f"{self.tried} inputs in {self.seconds:.1f} s (seed {self.seed})"
        if self.refused:
            words += f", {self.refused} more refused by eager"
        both = [one for one in self.branches if len(one.sides) == 2]
        if self.branches:
            count = len(self.branches)
            words += f", both sides of {len(both)} of {count} branch{'es' if count > 1 else ''} on the input"
        refused = [one for one in self.branches if one.refuses]
        missing = [one for one in self.branches if len(one.sides) < 2 and not one.refuses]
        if missing:
            words += f"; the other side was not reached at {', '.join(one.words for one in missing[:4])}"
        for answers, what in ((True, "the artifact answers there"), (False, "so does the artifact")):
            there = [one.words for one in refused if one.answers == answers]
            if there:
                words += f"; eager refuses what reaches the other side of {', '.join(there[:4])}, and {what}"
        if self.unwatched:
            rest = f" and {len(self.unwatched) - 4} more" if len(self.unwatched) > 4 else ""
            words += f"; no branch was watched in {', '.join(self.unwatched[:4])}{rest}"
        result = "found a counterexample" if self.found else "found no counterexample"
        remedy = ""
        if missing:
            remedy = "Give inputs that reach the other side (--inputs), or search longer (--search 60)."
        elif any(one.answers for one in refused):
            remedy = "Test for what eager refuses before the artifact is called: it does not."
        elif self.unwatched:
            remedy = "Give inputs that reach every side of what is tested there (--inputs)."
        return Finding("search", f"{result} in {words}", "" if self.found else remedy)
