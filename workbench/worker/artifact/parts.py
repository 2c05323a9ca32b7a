"""Where an artifact leaves the eager model: the first line of the user's code whose value is another one.

Both are run once more on one input, and what they make at each line of the user's code is compared. A branch shows as
a line that only one side computes. How much of a difference is made at a line, and how much came in with what the line
was given, is told by eager's own step from the artifact's values. Judges nothing.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass, replace
from typing import Any

import torch

from workbench.worker.artifact.alignment import FUSED, OPERATORS, Aligned, aligned, differs, largest, relative, shapes
from workbench.worker.artifact.export import exported
from workbench.worker.artifact.graph_passages import NoLines, graph_passages, hides_lines, unplaced_nodes
from workbench.worker.artifact.naming_graph import is_onnx
from workbench.worker.artifact.passages import Passage, eager_passages
from workbench.worker.artifact.subject import Subject
from workbench.worker.bench.sampling import map_tensors
from workbench.worker.job import Job


def parting(subject: Subject, program: Any, args: tuple[Any, ...], kwargs: dict[str, Any], forks: bool = True) -> str:
    """Where both part on this input, in words; empty where nothing is found.

    forks: whether this code tests anything, so that another input may take another way through it. Only then a line
    of it that one side lacks is told as a way that was not taken.
    """
    copied = map_tensors(args, torch.clone), map_tensors(kwargs, torch.clone)
    try:
        theirs = graph_passages(program, *copied, [name for name, _ in subject.tensors])
    except NoLines as reason:
        return f"no line can be named ({reason})"
    ours = eager_passages(subject, args, kwargs)
    sides = aligned(ours, theirs)
    hidden = hides_lines(program)
    first = _first(sides, is_onnx(program), forks, hidden)
    if first.words or first.pair is None:
        return first.words or (_unplaced(program) if is_onnx(program) else "")
    line = differs(*(one.value for one in first.pair))
    module, words = _first_module(*first.pair) or (_alone(first.pair[0]), line)
    share = "" if hidden and not first.follows else _share(subject, args, kwargs, first)
    if share and words != line:  # the shares are those of the line's last value
        share = f"; the line: {line}{share}"
    seen = "first, of the lines that a script's graph names," if hidden else "first"
    return f"{seen} at {module.words}{_there(sides, *first.pair)}: {words}{share}{first.before}"


def _unplaced(model: Any) -> str:
    """Of an ONNX model that parts at no line: what computes there and names none, or that it fuses operators."""
    kinds = list(dict.fromkeys(node.op_type for node in unplaced_nodes(model)))
    if not kinds:
        return FUSED
    listed = f"{', '.join(kinds[:4])}{' …' if len(kinds) > 4 else ''}"
    return f"every line agrees: it parts where it fuses operators, or at what names no line ({listed})"


def _there(sides: Aligned, ours: Passage, theirs: Passage) -> str:
    """What the artifact's own code has in place of this line, where it is another."""
    if not sides.own_code or (ours.key == theirs.key and ours.source == theirs.source):
        return ""
    if sides.by == OPERATORS or ours.source == theirs.source:  # by operators: its file is not what it was made from
        return f", {theirs.place} in the artifact's own code"
    return f", which the artifact's own code has as {theirs.place} ({theirs.source})"


def parting_of_compiled(subject: Subject, job: Job, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
    """The same for compiled code of ours, by the program that it was compiled from: made again, for it shows its lines.

    Raises `WorkbenchError("export")`.
    """
    words = parting(subject, exported(subject, job, guarded=False).program, args, kwargs)
    if words:
        return f"in the program that it is compiled from, {words}"
    return "the program that it is compiled from agrees at every line: the compiler made the difference, and shows none"


@dataclass
class _First:
    """The first difference of two runs."""

    words: str = ""
    """Of a line that only one side computes, or that makes another shape."""
    pair: tuple[Passage, Passage] | None = None
    """The first passages of one line whose values differ."""
    agreed: tuple[tuple[Passage, Passage], ...] = ()
    """Those before it."""
    opens: bool = True
    """Whether eager's passage is the first of its run."""
    follows: bool = True
    """Whether the passage before it is among those that agree, or there is none."""

    @property
    def before(self) -> str:
        if not self.agreed:
            return "; nothing was computed before it" if self.opens else "; of no line before it both show a value"
        return f"; all before it agree, the last at {self.agreed[-1][0].place}"


def _first(sides: Aligned, folded: bool, forks: bool, hidden: bool) -> _First:
    """folded: the exporter merges what does not depend on the input, and lays tensors out otherwise: a line that one
    side lacks, or a shape of another, then counts only when nothing after it agrees. hidden: the artifact does not
    name all lines that it computes, so that nothing is told of one that it lacks."""
    agreed: list[tuple[Passage, Passage]] = []
    odd = ""
    for word, ours, theirs in sides.blocks:
        pairs = list(zip(ours, theirs)) if word == "equal" else []  # noqa: B905 (the same number)
        if word == "replace" and sides.own_code:  # the line may say the same in other words: its value decides
            pairs = _stand_ins(ours, theirs)
        elif word != "equal":
            odd = odd or _lacking([] if hidden else ours, theirs, sides, forks, agreed)
            if odd and not folded:
                return _First(odd)
        for one, their in pairs:
            if folded and shapes(one.value, their.value):
                odd = odd or f"first at {one.words}: {shapes(one.value, their.value)}"
            elif differs(one.value, their.value):
                before = sides.before(one)
                follows = before is None or any(before is known for known, _ in agreed)
                return _First(odd) if odd else _First("", (one, their), tuple(agreed), before is None, follows)
            elif one.value is not None and their.value is not None:
                agreed.append((one, their))
                odd = ""
    return _First(odd)


def _stand_ins(ours: list[Passage], theirs: list[Passage]) -> list[tuple[Passage, Passage]]:
    """Pairs of lines that are no longer the same: one by one where they are as many, the last of both where not."""
    same = len(ours) == len(theirs) and not any(shapes(*(one.value for one in pair)) for pair in zip(ours, theirs))  # noqa: B905
    return list(zip(ours, theirs)) if same else [(ours[-1], theirs[-1])]  # noqa: B905 (as many, or not used)


def _lacking(
    ours: list[Passage], theirs: list[Passage], sides: Aligned, forks: bool, agreed: list[tuple[Passage, Passage]]
) -> str:
    """Of lines that only one side computes, in words. Of a line that both have it is never said that one has not."""
    # a test leaves nothing in a graph: its own line is missing there whatever it decided
    missing = [one for one in ours if not _tests(one.source) and sides.more(one) > 0]
    extra = [one for one in theirs if sides.more(one) < 0]
    after = f", after {agreed[-1][0].place}" if agreed else ""
    for one in missing or extra:
        mine, its = sides.times(one)
        if mine and its and sides.by != OPERATORS:
            return f"eager computes {one.words} {_often(mine)}, where the artifact computes it {_often(its)}{after}"
    ways = forks and all(sides.places.hold(one) for one in extra)
    if missing and extra:
        link = "where the artifact computes" if ways else "which the artifact's own code has as"
        return f"eager computes {missing[0].words} {link} {extra[0].words}{after}"
    if missing:
        return f"eager computes {missing[0].words}, {'and the artifact does not' if ways else _NOT_THERE}{after}"
    if extra:
        return f"the artifact computes {extra[0].words}, {'and eager does not' if ways else _NOT_HERE}{after}"
    return ""


def _often(times: int) -> str:
    return {1: "once", 2: "twice"}.get(times, f"{times} times")


_NOT_THERE = "which is not in the artifact"
_NOT_HERE = "which is not in this model"


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
    if any(one.module for one in theirs.inside):
        for one, its in _in_order(ours.inside, theirs.inside):
            if largest(one.value, its.value) is not None and (words := differs(one.value, its.value)):
                return one, words
    known = {one.module: one.value for one in theirs.inside if one.module}
    last = {one.module: one for one in ours.inside if one.module in known}
    for module, one in last.items():
        words = differs(one.value, known[module])
        if words:
            return one, words
    return None


def _in_order(ours: list[Passage], theirs: list[Passage]) -> list[tuple[Passage, Passage]]:
    """What stands for one another by its module, in the order of the run."""
    matcher = difflib.SequenceMatcher(None, [one.module for one in ours], [one.module for one in theirs], False)
    return [(ours[a + n], theirs[b + n]) for a, b, size in matcher.get_matching_blocks() for n in range(size)]


def _alone(line: Passage) -> Passage:
    """The line without the module that ended it, where several ran."""
    return line if len({one.module for one in line.inside}) == 1 else replace(line, module="")


def _tests(source: str) -> bool:
    return source.startswith(("if ", "elif ", "while ", "assert ", "for "))
