"""Lines that only one of two runs computes, or that say something else in the other, in words. Judges nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from workbench.worker.artifact.alignment import OPERATORS, Aligned
from workbench.worker.artifact.passages import Passage

Pairs = Sequence[tuple[Passage, Passage]]
"""Eager's passages with the artifact's in their place."""

_NOT_THERE = "which is not in the artifact"
_NOT_HERE = "which is not in this model"


def otherwise(ours: list[Passage], theirs: list[Passage], agreed: Pairs) -> str:
    """Of lines in whose place the artifact's own code has others, in words: which of them parts is not known."""
    return f"{_lines(ours)}, which the artifact's own code has as {_lines(theirs)}{after(agreed)}"


def after(agreed: Pairs) -> str:
    """Behind which line, in words; empty where none agreed."""
    return f", after {agreed[-1][0].place}" if agreed else ""


def _lines(run: list[Passage]) -> str:
    """ "net.py:9-10 (h = torch.sigmoid(h) … y = self.b(h))"."""
    first, last = run[0], run[-1]
    if len(run) == 1:
        return first.words
    near = first.file == last.file and first.line < last.line
    place = f"{first.place}-{last.line}" if near else f"{first.place} to {last.place}"
    said = " … ".join(one.source for one in (first, last) if one.source)
    return f"{place} ({said})" if said else place


def lacking(ours: list[Passage], theirs: list[Passage], sides: Aligned, agreed: Pairs) -> str:
    """Of lines that only one side computes, in words. Of a line that both have it is never said that one has not, and
    nothing of one that leaves what it is given as it was."""
    # a test leaves nothing in a graph: its own line is missing there whatever it decided
    missing = [one for one in ours if not _tests(one.source) and sides.more(one) > 0 and not sides.idle(one)]
    extra = [one for one in theirs if sides.more(one) < 0 and not sides.idle(one)]
    one = next(iter(missing or extra), None)
    if one is None:
        return ""
    mine, its = sides.times(one)
    if mine and its and sides.by != OPERATORS:
        return f"{counted(one, mine, its, sides.like(one))}{after(agreed)}"
    if missing and extra and not sides.times(extra[0])[0]:
        link = "which the artifact's own code has as" if sides.other_code else "where the artifact computes"
        return f"eager computes {missing[0].words} {link} {extra[0].words}{after(agreed)}"
    not_there, not_here = (
        (_NOT_THERE, _NOT_HERE) if sides.other_code else ("and the artifact does not", "and eager does not")
    )
    if missing:  # a line that only a test looks at is among them, and the one that matters need not be the first
        return f"eager computes {_each(missing)}, {not_there}{after(agreed)}"
    return f"the artifact computes {_each(extra)}, {not_here}{after(agreed)}"


def _each(run: list[Passage]) -> str:
    """Up to three lines of a run; of more the first two and the last."""
    lines = list(dict.fromkeys(one.words for one in run))
    return " and ".join(lines) if len(lines) <= 3 else f"{lines[0]}, {lines[1]} … and {lines[-1]}"


def counted(one: Passage, mine: int, its: int, like: list[Passage]) -> str:
    """How often eager and the artifact come to a line, in words: to one that calls modules also behind each of them.
    Several that read alike are counted together."""
    places = list(dict.fromkeys(each.place for each in like))
    if len(places) > 1:
        listed = f"{', '.join(places[:4])}{' …' if len(places) > 4 else ''}"
        said = f"eager comes to the lines {listed}, which read alike ({one.source}), {_often(mine)} in all"
        return f"{said}, where the artifact comes to such a line {_often(its)}"
    named = one if len({each.module for each in like}) == 1 else replace(like[0], module="")
    return f"eager comes to {named.words} {_often(mine)}, where the artifact comes to it {_often(its)}"


def _often(times: int) -> str:
    return {1: "once", 2: "twice"}.get(times, f"{times} times")


def _tests(source: str) -> bool:
    return source.startswith(("if ", "elif ", "while ", "assert ", "for "))
