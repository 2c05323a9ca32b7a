"""Where an artifact leaves the eager model: the first line of the user's code whose value is another one.

Both are run once more on one input, and what they make at each line of the user's code is compared. A branch shows as
a line that only one side computes. How much of a difference is made at a line, and how much came in with what the line
was given, is told by eager's own step from the artifact's values. Judges nothing.
"""

from __future__ import annotations

import itertools
from collections import Counter
from dataclasses import dataclass, replace
from typing import Any

import torch

from workbench.worker.artifact.alignment import (
    FUSED,
    OPERATORS,
    TEXT,
    Aligned,
    aligned,
    compared,
    differs,
    largest,
    relative,
    shapes,
)
from workbench.worker.artifact.export import exported
from workbench.worker.artifact.graph_passages import NoLines, graph_passages, hides_lines, unplaced_nodes
from workbench.worker.artifact.matching import matched
from workbench.worker.artifact.naming_graph import is_onnx
from workbench.worker.artifact.parts_odd import after, counted, lacking, otherwise
from workbench.worker.artifact.passages import Passage, eager_passages
from workbench.worker.artifact.subject import Subject
from workbench.worker.bench.sampling import map_tensors
from workbench.worker.job import Job


@dataclass(frozen=True)
class Parting:
    """Where both part."""

    words: str = ""
    """Down to the line; empty where nothing is found."""
    ways: bool = False
    """Whether they went another way through the same code, at a test that depends on the input."""


def parting(
    subject: Subject, program: Any, job: Job, args: tuple[Any, ...], kwargs: dict[str, Any], forks: bool = False
) -> Parting:
    """Where both part on this input. Raises `Cancelled`.

    forks: whether this code tests its input, as far as was seen: only then a line of it that one side lacks is a way
    that was not taken.
    """
    copied = map_tensors(args, torch.clone), map_tensors(kwargs, torch.clone)
    try:
        theirs = graph_passages(program, *copied, [name for name, _ in subject.tensors])
    except NoLines as reason:
        return Parting(f"no line can be named ({reason})")
    job.raise_if_cancelled()
    sides = aligned(eager_passages(subject, args, kwargs), theirs, job.raise_if_cancelled)
    hidden, folded = hides_lines(program), is_onnx(program)
    first = _first(sides, folded, hidden)
    ways = forks and not sides.other_code and first.lacks
    if first.pair is None:
        return Parting(first.odd or (_unplaced(program) if folded else ""), ways)
    line = differs(*(one.value for one in first.pair))
    module, words = _first_module(*first.pair) or (_alone(first.pair[0]), line)
    known = not first.odd and not first.blind and sides.sure(first.pair[0]) and (first.follows or not hidden)
    share = _share(subject, args, kwargs, first) if known else ""
    if share and words != line:  # the shares are those of the line's last value
        share = f"; the line: {line}{share}"
    seen = "first, of the lines that a script's graph names," if hidden else "first"
    before = f"; before it, {first.odd}" if first.odd else first.before
    return Parting(f"{seen} at {module.words}{_there(sides, *first.pair)}: {words}{share}{before}", ways)


def _unplaced(model: Any) -> str:
    """Of an ONNX model that parts at no line: what computes there and names none, or that it fuses operators."""
    kinds = list(dict.fromkeys(node.op_type for node in unplaced_nodes(model)))
    if not kinds:
        return FUSED
    listed = f"{', '.join(kinds[:4])}{' …' if len(kinds) > 4 else ''}"
    return f"every line agrees: it parts where it fuses operators, or at what names no line ({listed})"


def _there(sides: Aligned, ours: Passage, theirs: Passage) -> str:
    """What the artifact's own code has in place of this line, where it is another."""
    if not sides.other_code or (ours.place == theirs.place and ours.source == theirs.source):
        return ""
    if sides.by == OPERATORS or ours.source == theirs.source:  # by operators: its file is not what it was made from
        return f", {theirs.place} in the artifact's own code"
    return f", which the artifact's own code has as {theirs.place} ({theirs.source})"


def parting_of_compiled(
    subject: Subject, job: Job, args: tuple[Any, ...], kwargs: dict[str, Any], forks: bool = False
) -> Parting:
    """The same for compiled code of ours, by the program that it was compiled from: made again, for it shows its lines.

    Raises `WorkbenchError("export")` and `Cancelled`.
    """
    found = parting(subject, exported(subject, job, guarded=False).program, job, args, kwargs, forks)
    if found.words:
        return replace(found, words=f"in the program that it is compiled from, {found.words}")
    return Parting(
        "the program that it is compiled from agrees at every line: the compiler made the difference, and shows none"
    )


@dataclass
class _First:
    """The first difference of two runs."""

    odd: str = ""
    """Of lines that only one side computes, or that say something else in another number of lines."""
    lacks: bool = False
    """Whether that is about lines that one side lacks."""
    pair: tuple[Passage, Passage] | None = None
    """The first passages of one line whose values differ; None where the odd lines come first."""
    agreed: tuple[tuple[Passage, Passage], ...] = ()
    """Those before it."""
    opens: bool = True
    """Whether eager's passage is the first of its run."""
    follows: bool = True
    """Whether the passage before it is among those that agree, or there is none."""
    blind: bool = False
    """Whether no value is known of the passage before it, or one was passed over that only one side computes."""

    @property
    def before(self) -> str:
        if self.blind:
            return ""
        if not self.agreed:
            return "; nothing was computed before it" if self.opens else "; of no line before it both show a value"
        return f"; all before it agree, the last at {self.agreed[-1][0].place}"


_Lines = list[Passage]


def _first(sides: Aligned, folded: bool, hidden: bool) -> _First:
    """What is odd counts where the next line that both show differs, or none is left. Where one agrees first it may
    still be the reason (a line beside its way), and both are told.

    folded: the exporter merges what does not depend on the input, and lays tensors out otherwise: what is odd before a
    line that agrees is forgotten, and a shape of another is no more than odd. hidden: the artifact does not name all
    lines that it computes, so that nothing is told of one that it lacks.
    """
    agreed: list[tuple[Passage, Passage]] = []
    odd, passed = _First(), _First()
    forgotten = False
    for word, ours, theirs in sides.blocks:
        pairs = list(zip(ours, theirs)) if word == "equal" else []  # noqa: B905 (the same number)
        left: list[_Lines] = [[], []] if word == "equal" else [ours, theirs]
        if word == "replace" and sides.other_code:  # the line may say the same in other words: its value decides
            pairs, *left = _stand_ins(ours, theirs, hidden)
        for mine, its in pairs:
            one, their = compared(mine, its)
            if folded and shapes(one.value, their.value):
                odd = odd if odd.odd else _First(f"first at {one.words}: {shapes(one.value, their.value)}")
            elif differs(one.value, their.value):
                if odd.odd:
                    return odd
                if sides.by == TEXT and not sides.sure(mine):
                    return _First(f"{counted(mine, *sides.times(mine), sides.like(mine))}{after(agreed)}")
                before = sides.before(mine)
                follows = before is None or before.number in {known.number for known, _ in agreed}
                blind = forgotten or (before is not None and before.value is None)
                found = replace(passed, pair=(mine, its), agreed=tuple(agreed), blind=blind)
                return replace(found, opens=before is None, follows=follows)
            elif one.value is not None and their.value is not None:
                agreed.append((one, their))
                forgotten = forgotten or (folded and bool(odd.odd))
                passed, odd = passed if passed.odd or folded else odd, _First()
        if odd.odd:
            continue
        if word == "replace" and sides.other_code and all(left):
            odd = _First(otherwise(left[0], left[1], agreed))
        elif any(left):
            shown = [] if hidden else [one for one in left[0] if not (folded and sides.merges(one))]
            words = lacking(shown, left[1], sides, agreed)
            odd = _First(words, bool(words))
    return odd if odd.odd else passed


def _stand_ins(ours: _Lines, theirs: _Lines, hidden: bool) -> tuple[list[tuple[Passage, Passage]], _Lines, _Lines]:
    """Lines that say something else: pairs of those that stand for one another, and of both sides those of which it is
    not known. One by one where they are as many; where they are not, those at the head that agree, or all where the
    last agree. Where the artifact hides lines the last stand for one another, and of those before nothing is known."""
    pairs = list(zip(ours, theirs))  # noqa: B905 (as many as the shorter)
    if len(ours) == len(theirs) and not any(shapes(mine.value, its.value) for mine, its in pairs):
        return pairs, [], []
    agree = [
        mine.value is not None and its.value is not None and not differs(mine.value, its.value) for mine, its in pairs
    ]
    head = next((number for number, same in enumerate(agree) if not same), len(agree))
    mine, its = ours[-1], theirs[-1]
    if hidden or (mine.value is not None and its.value is not None and not differs(mine.value, its.value)):
        return [*pairs[:head], (mine, its)], [], []
    return pairs[:head], ours[head:], theirs[head:]


def _share(subject: Subject, args: tuple[Any, ...], kwargs: dict[str, Any], first: _First) -> str:
    """How much of the first difference is made at its line, and how much came in with the artifact's earlier values;
    empty where eager cannot be given them."""
    assert first.pair is not None
    mine, its = first.pair
    put = {
        one.number: (one.operators, their.value)
        for one, their in first.agreed
        if one.value is not None and their.value is not None and one.value.shape == their.value.shape
    }
    stepped = {one.number: one for one in eager_passages(subject, args, kwargs, put)}
    step = stepped.get(mine.number)
    if step is None or step.key != mine.key or any(one.number not in stepped for one, _ in first.agreed):
        return ""  # it went another way on the other's values
    made, came = largest(step.value, its.value), largest(step.value, mine.value)
    if made is None or came is None:
        return ""
    words = f", {made:.3g} of it made there and {came:.3g} come in with what it is given"
    if made >= came:
        return words
    steps = [(relative(stepped[one.number].value, their.value), one) for one, their in first.agreed]
    most, where = max(steps, key=lambda pair: pair[0])
    return f"{words}, most of that from {where.place}, {most:.2g} of the largest there" if most else words


def _first_module(ours: Passage, theirs: Passage) -> tuple[Passage, str] | None:
    """The first module, of those that both name on this line, whose value differs; None where none is named.

    What the line computes itself, between its modules, is a passage without one.
    """
    mine, its = (Counter(one.module for one in side.inside) for side in (ours, theirs))
    often = {
        module for module, times in mine.items() if its[module] == times
    }  # of others it is not known which is which
    if any(one.module for one in theirs.inside):
        for one, their in itertools.starmap(compared, _in_order(ours.inside, theirs.inside)):
            words = differs(one.value, their.value) if one.module in often else ""
            if words and largest(one.value, their.value) is not None:
                return one, words
    known = {one.module: one.value for one in theirs.inside if one.module in often - {""}}
    last = {one.module: one for one in ours.inside if one.module in known}
    for module, one in last.items():
        words = differs(one.value, known[module])
        if words:
            return one, words
    return None


def _in_order(ours: list[Passage], theirs: list[Passage]) -> list[tuple[Passage, Passage]]:
    """What stands for one another by its module, in the order of the run."""
    blocks = matched([one.module for one in ours], [one.module for one in theirs])
    return [pair for word, a, b, c, d in blocks if word == "equal" for pair in zip(ours[a:b], theirs[c:d], strict=True)]


def _alone(line: Passage) -> Passage:
    """The line without the module that ended it, where several ran."""
    return line if len({one.module for one in line.inside}) == 1 else replace(line, module="")
