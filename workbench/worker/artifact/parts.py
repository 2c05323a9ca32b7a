"""Where an artifact leaves the eager model: the first line of the user's code whose value is another one.

Both are run once more on one input, and what they make at each line of the user's code is compared. A branch shows as
a line that only one side computes. How much of a difference is made at a line, and how much came in with what the line
was given, is told by eager's own step from the artifact's values. Judges nothing.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import Any

import torch

from workbench.worker.artifact.export import exported
from workbench.worker.artifact.graph_passages import NoLines, graph_passages
from workbench.worker.artifact.naming_graph import is_onnx
from workbench.worker.artifact.passages import Passage, eager_passages
from workbench.worker.artifact.subject import Subject
from workbench.worker.bench.sampling import map_tensors
from workbench.worker.job import Job

SHARE = 1e-4
"""Of the largest value of a tensor: a difference above it (64 eps where that is more) is no noise of one operator."""


_FUSED = "every line agrees where ONNX Runtime is made to show its value: it parts where it fuses operators"


def parting(subject: Subject, program: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
    """Where both part on this input, in words; empty where nothing is found."""
    copied = map_tensors(args, torch.clone), map_tensors(kwargs, torch.clone)
    try:
        theirs = graph_passages(program, *copied, [name for name, _ in subject.tensors])
    except NoLines as reason:
        return f"no line can be named ({reason})"
    ours = eager_passages(subject, args, kwargs)
    first = _first(ours, theirs, folded=is_onnx(program))
    if first.words or first.pair is None:
        return first.words or _FUSED * is_onnx(program)
    line = _differs(*(one.value for one in first.pair))
    module, words = _first_module(*first.pair) or (first.pair[0], line)
    share = _share(subject, args, kwargs, first)
    if share and words != line:  # the shares are those of the line's last value
        share = f"; the line: {line}{share}"
    return f"first at {module.words}: {words}{share}{first.before}"


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

    @property
    def before(self) -> str:
        if not self.agreed:
            return "; nothing was computed before it"
        return f"; all before it agree, the last at {_short(self.agreed[-1][0])}"


def _first(ours: list[Passage], theirs: list[Passage], folded: bool) -> _First:
    """folded: the exporter merges what does not depend on the input, and lays tensors out otherwise: a line that one
    side lacks, or a shape of another, then counts only when nothing after it agrees."""
    matcher = difflib.SequenceMatcher(None, [one.key for one in ours], [one.key for one in theirs], autojunk=False)
    agreed: list[tuple[Passage, Passage]] = []
    odd = ""
    for word, start, end, other, stop in matcher.get_opcodes():
        if word != "equal":
            odd = odd or _lacking(ours[start:end], theirs[other:stop], agreed)
            if odd and not folded:
                return _First(odd)
            continue
        for one, their in zip(ours[start:end], theirs[other:stop], strict=True):
            if folded and _shapes(one.value, their.value):
                odd = odd or f"first at {one.words}: {_shapes(one.value, their.value)}"
            elif _differs(one.value, their.value):
                return _First(odd) if odd else _First(pair=(one, their), agreed=tuple(agreed))
            elif one.value is not None and their.value is not None:
                agreed.append((one, their))
                odd = ""
    return _First(odd)


def _lacking(ours: list[Passage], theirs: list[Passage], agreed: list[tuple[Passage, Passage]]) -> str:
    """Of lines that only one side computes, in words."""
    # a test leaves nothing in a graph: its own line is missing there whatever it decided
    missing = [one for one in ours if not _tests(one.source)]
    after = f", after {_short(agreed[-1][0])}" if agreed else ""
    if missing and theirs:
        return f"eager computes {missing[0].words} where the artifact computes {theirs[0].words}{after}"
    if missing:
        return f"eager computes {missing[0].words}, and the artifact does not{after}"
    if theirs:
        return f"the artifact computes {theirs[0].words}, and eager does not{after}"
    return ""


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
    made, came = _largest(step.value, its.value), _largest(step.value, mine.value)
    if made is None or came is None:
        return ""
    words = f", {made:.3g} of it made there and {came:.3g} come in with what it is given"
    if made >= came:
        return words
    steps = [(_relative(stepped[one.number].value, their.value), one) for one, their in first.agreed]
    largest, where = max(steps, key=lambda pair: pair[0])
    return f"{words}, most of that from {_short(where)}, {largest:.2g} of the largest there" if largest else words


def _short(passage: Passage) -> str:
    return f"{passage.key[0]}:{passage.key[1]}"


def _first_module(ours: Passage, theirs: Passage) -> tuple[Passage, str] | None:
    """The first module, of those that both name on this line, whose last value differs; None where none is named."""
    known = {one.module: one.value for one in theirs.inside if one.module}
    last = {one.module: one for one in ours.inside if one.module in known}
    for module, one in last.items():
        words = _differs(one.value, known[module])
        if words:
            return one, words
    return None


def _tests(source: str) -> bool:
    return source.startswith(("if ", "elif ", "while ", "assert ", "for "))


def _differs(ours: torch.Tensor | None, theirs: torch.Tensor | None) -> str:
    if ours is None or theirs is None:
        return ""
    worst = _largest(ours, theirs)
    if not worst:
        return _shapes(ours, theirs)
    peak = _peak(ours)
    eps = torch.finfo(ours.dtype).eps if ours.is_floating_point() else 0.0
    if worst <= max(SHARE, 64 * eps) * peak:
        return ""
    return f"max|Δ| {worst:.3g} where eager's largest is {peak:.3g}"


def _shapes(ours: torch.Tensor | None, theirs: torch.Tensor | None) -> str:
    if ours is None or theirs is None or ours.shape == theirs.shape:
        return ""
    return f"shape {list(theirs.shape)} in place of {list(ours.shape)}"


def _relative(ours: torch.Tensor | None, theirs: torch.Tensor | None) -> float:
    """The largest |Δ| as a share of the largest value."""
    worst = _largest(ours, theirs)
    return worst / max(_peak(ours), worst) if worst and ours is not None else 0.0


def _peak(value: torch.Tensor) -> float:
    return float(torch.nan_to_num(value.double(), 0.0, 0.0, 0.0).abs().max())


def _largest(ours: torch.Tensor | None, theirs: torch.Tensor | None) -> float | None:
    """The largest finite |Δ|; None where they cannot be compared."""
    if ours is None or theirs is None or ours.shape != theirs.shape or not ours.numel():
        return None
    return float(torch.nan_to_num((ours.double() - theirs.double()).abs(), 0.0, 0.0, 0.0).max())
