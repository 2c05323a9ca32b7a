"""Which items of two sequences stand for one another, in their order. Pure.

`difflib` is cubic where items repeat, as the lines of a loop do: 1600 against 2000 took it half a minute. Here it sees
a window at a time, from the first item that differs on.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Hashable, Sequence

WINDOW = 256
"""Items of each side that are matched at once."""

Block = tuple[str, int, int, int, int]
"""("equal", "replace", "delete" or "insert", start and end in the first sequence, start and end in the second)."""


def matched(mine: Sequence[Hashable], its: Sequence[Hashable], look: Callable[[], None] = lambda: None) -> list[Block]:
    """Blocks that cover both sequences, in order; no two next to each other are of sorts that one block could say.

    look: called now and then; what it raises ends the work.
    """
    end, stop = len(mine), len(its)
    start = _head(mine, its, 0, end, 0, stop)
    while end > start and stop > start and mine[end - 1] == its[stop - 1]:
        end, stop = end - 1, stop - 1
    blocks: list[Block] = [("equal", 0, start, 0, start)] if start else []
    here, there = start, start
    while here < end or there < stop:
        look()
        blocks += _next(mine, its, here, end, there, stop)
        word, first, here, second, there = blocks[-1]
        same = _head(mine, its, here, end, there, stop)
        if same and word == "equal":
            blocks[-1] = word, first, here + same, second, there + same
        elif same:
            blocks.append(("equal", here, here + same, there, there + same))
        here, there = here + same, there + same
    return [*blocks, ("equal", end, len(mine), stop, len(its))] if end < len(mine) else blocks


def _head(mine: Sequence[Hashable], its: Sequence[Hashable], here: int, end: int, there: int, stop: int) -> int:
    """How many items are the same from here on."""
    most = min(end - here, stop - there)
    return next((number for number in range(most) if mine[here + number] != its[there + number]), most)


def _next(mine: Sequence[Hashable], its: Sequence[Hashable], here: int, end: int, there: int, stop: int) -> list[Block]:
    """The next blocks of what is left: those of a window that end with what is the same, or all where it is the last.

    The second half of a window is left to the next one, for its match may lie behind this one's end.
    """
    if here == end or there == stop:
        return [_gap(here, end, there, stop)]
    first, second = mine[here : min(end, here + WINDOW)], its[there : min(stop, there + WINDOW)]
    found: list[Block] = [
        (word, here + a, here + b, there + c, there + d)
        for word, a, b, c, d in difflib.SequenceMatcher(None, first, second, autojunk=False).get_opcodes()
    ]
    if here + len(first) == end and there + len(second) == stop:
        return found
    same = [number for number, block in enumerate(found) if block[0] == "equal"]
    near = [number for number in same if max(found[number][1] - here, found[number][3] - there) < WINDOW // 2]
    if same:
        return found[: max(near or same[:1]) + 1]
    return _far(mine, its, here, end, there, stop)


def _far(mine: Sequence[Hashable], its: Sequence[Hashable], here: int, end: int, there: int, stop: int) -> list[Block]:
    """What is the same in no window: the longest run of ever wider ones, and what stands before it."""
    wide = WINDOW
    while here + wide < end or there + wide < stop:
        wide *= 2
        first, second = mine[here : min(end, here + wide)], its[there : min(stop, there + wide)]
        run = difflib.SequenceMatcher(None, first, second, autojunk=False).find_longest_match()
        if run.size:
            a, b = here + run.a, there + run.b
            return [_gap(here, a, there, b), ("equal", a, a + run.size, b, b + run.size)]
    return [_gap(here, end, there, stop)]


def _gap(here: int, end: int, there: int, stop: int) -> Block:
    word = "delete" if there == stop else "insert" if here == end else "replace"
    return word, here, end, there, stop
