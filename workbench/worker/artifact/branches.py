"""Which branches of the user's own code a forward takes, and how far it was from taking the other side.

While it is watched, the code objects of the user's functions are replaced by copies whose tests report themselves;
afterwards they are the very same as before. Knows nothing of artifacts and makes no inputs.
"""

from __future__ import annotations

import contextlib
import gc
import os
import sys
from collections.abc import Callable, Iterator
from types import CodeType, FrameType, FunctionType
from typing import Any

import torch

from workbench.worker.artifact.branch_copies import (
    OPERATORS,
    PROBE,
    Branch,
    functions_inside,
    has_tests,
    instrumented,
)
from workbench.worker.bench.failing import is_users

MOST = 200
"""Functions that are looked into."""


class Branches:
    """The branches in what a model's forward runs of the user's code."""

    def __init__(self, run: Callable[[], object]) -> None:
        """`run` calls the model once, which shows what functions there are. It must not raise."""
        self.all: list[Branch] = []
        self.unwatched: list[str] = []
        """Functions with tests that cannot report: "scale (model.py:12)"."""
        self._swaps: list[tuple[FunctionType, CodeType, CodeType]] = []
        watched: set[CodeType] = set()
        for place, code in enumerate(_codes_of(run)):
            functions = [
                one for one in gc.get_referrers(code) if isinstance(one, FunctionType) and one.__code__ is code
            ]
            if code in watched and not functions:
                continue  # made anew by a function that is watched
            made = instrumented(code, len(self.all)) if functions and place < MOST else None
            if made is not None:
                copied, branches = made
                self.all += branches
                self._swaps += [(function, code, copied) for function in functions]
                watched.update(functions_inside(code))
            elif has_tests(code):
                place_of = f"{os.path.basename(code.co_filename)}:{code.co_firstlineno}"
                self.unwatched.append(f"{code.co_name} ({place_of})")

    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        """Inside, every forward reports its branches."""
        spaces = {id(function.__globals__): function.__globals__ for function, _, _ in self._swaps}
        for space in spaces.values():
            space[PROBE] = self
        for function, _, copied in self._swaps:
            function.__code__ = copied
        try:
            yield
        finally:
            for function, code, _ in self._swaps:
                function.__code__ = code
            for space in spaces.values():
                space.pop(PROBE, None)

    def begin(self) -> None:
        """The next call starts: nothing has been taken in it."""
        for branch in self.all:
            branch.margin = branch.truth = None
            branch.taken = set()

    def taken(self) -> list[set[bool]]:
        """The sides that the last call took, by branch: later calls leave them as they are."""
        return [one.taken for one in self.all]

    def fresh(self, answered: bool) -> list[Branch]:
        """Branches of which the last call took a side that nobody was asked about; answered: eager took its input."""
        return [one for one in self.all if one.taken - one.sides - (set() if answered else one.refused)]

    def side(self, number: int, value: Any) -> bool:
        """Called by the copies: the truth of a whole test."""
        branch = self.all[number]
        branch.tensor = branch.tensor or isinstance(value, torch.Tensor)
        branch.truth = bool(value)
        branch.taken.add(branch.truth)
        branch.ever.add(branch.truth)
        return branch.truth

    def compared(self, number: int, name: str, every: bool, left: Any, right: Any) -> Any:
        """Called by the copies: one comparison inside a test, whose result it returns."""
        word, compare = next(pair for kind, pair in OPERATORS.items() if kind.__name__ == name)
        branch = self.all[number]
        branch.tensor = branch.tensor or isinstance(left, torch.Tensor) or isinstance(right, torch.Tensor)
        margin = _margin(word, every, left, right)
        if margin is not None:
            branch.margin = margin
            if len(branch.seen) < 2:
                branch.seen.add(margin)
        return compare(left, right)


def _margin(word: str, every: bool, left: Any, right: Any) -> float | None:
    """How far a comparison is from its other result, positive where it holds; `every`: for all elements."""
    numbers = (int, float, torch.Tensor)
    if not isinstance(left, numbers) or not isinstance(right, numbers):
        return None
    with torch.no_grad():
        try:
            distance = torch.as_tensor(left).double() - torch.as_tensor(right).double()
        except (RuntimeError, TypeError):
            return None  # shapes that do not go together, or numbers without an order
        if not distance.numel():
            return None
        distance = -distance if word == "below" else distance
        if word in ("equal", "unequal"):
            distance = -distance.abs() if word == "equal" else distance.abs()
        return float(distance.min() if every else distance.max())


def _codes_of(run: Callable[[], object]) -> list[CodeType]:
    """Code of every function of the user's that `run` calls, in the order of the first calls."""
    found: dict[CodeType, None] = {}

    def look(frame: FrameType, event: str, _: Any) -> None:
        if event == "call" and is_users(frame.f_code.co_filename):
            found.setdefault(frame.f_code)

    before = sys.getprofile()
    sys.setprofile(look)
    try:
        run()
    finally:
        sys.setprofile(before if callable(before) else None)
    return list(found)
