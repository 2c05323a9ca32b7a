"""Two files beside each other: names, shapes, dtypes, sharing; and, on demand, the values of those that fit.

The tables are compared without torch; values by `inspect_values`.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from pathlib import Path

from workbench.protocol.artifacts import InspectedTensor
from workbench.protocol.inspected import InspectedPair, InspectPair, ValueDifference
from workbench.worker.artifact.inspect import LISTED, look
from workbench.worker.artifact.inspect_archive import Content
from workbench.worker.artifact.inspect_values import rounded_words, value_words, values_apart
from workbench.worker.bench.words import counted
from workbench.worker.job import Job

_FLOAT = re.compile(r"b?float(8|16|32|64)(?:_\w+)?")
"""The floats that are cast to each other; the group is their bits."""


def inspect_pair(request: InspectPair, job: Job) -> InspectedPair:
    """What differs between the two. Raises `WorkbenchError` ("artifact", "weights")."""
    paths = Path(request.path), Path(request.other)
    sides = [look(path, job) for path in paths]
    first, second = ({tensor.name: tensor for tensor in content.tensors} for content, _ in sides)
    first, second, told = _aligned(first, second)
    both = [name for name in first if name in second]
    shapes = [name for name in both if first[name].shape != second[name].shape]
    dtypes = [name for name in both if first[name].dtype != second[name].dtype]
    alike = [name for name in both if _form(first[name]) == _form(second[name])]
    gone, new = ([name for name in one if name not in other] for one, other in ((first, second), (second, first)))
    ties = _ties(first, second, "first") + _ties(second, first, "second")
    kinds = sides[0][0].kind, sides[1][0].kind
    same = not (gone or new or shapes or dtypes)
    if words := _empty(paths, sides):
        words.append("there is nothing to compare.")
    else:
        fits = f"the same {counted(len(both), 'name')}, shapes and dtypes."
        words = [fits if same else _summary(gone, new, shapes, dtypes), *([told] if told else [])]
    differing: list[ValueDifference] = []
    left: list[str] = []
    compared = 0
    if request.values:
        rounded = {name: to for name in dtypes if (to := _narrower(first[name], second[name]))}
        names = [(name, first[name].name, second[name].name) for name in (*alike, *rounded)]
        differing, left = values_apart(paths, kinds, names, job)
        words += _value_words(alike, rounded, differing, left)
        compared = len(names) - len(left)
    return InspectedPair(
        path=request.path,
        other=request.other,
        kinds=kinds,
        trust=(sides[0][0].trust, sides[1][0].trust),
        bytes=(sides[0][1], sides[1][1]),
        tensors=(len(first), len(second)),
        alike=len(alike),
        first=tuple(gone[:LISTED]),
        second=tuple(new[:LISTED]),
        shapes=tuple(f"{n} {_shape(first[n])} against {_shape(second[n])}" for n in shapes[:LISTED]),
        dtypes=tuple(f"{n} {first[n].dtype} against {second[n].dtype}" for n in dtypes[:LISTED]),
        ties=tuple(ties[:LISTED]),
        words=tuple(words),
        compared=compared,
        differing=tuple(differing[:LISTED]),
        uncompared=tuple(left[:LISTED]),
    )


Table = dict[str, InspectedTensor]
"""Name → tensor, which keeps the name that its file has for it."""


def _aligned(first: Table, second: Table) -> tuple[Table, Table, str]:
    """Both tables by names that agree best, and in words what was taken off: a wrapper's or a checkpoint's key."""
    same = sum(name in second for name in first)
    best, count, at = "", same, 0
    for place, (short, long) in enumerate(((first, second), (second, first))):
        votes: Counter[str] = Counter()
        for name in long:
            for cut in (cut for cut, letter in enumerate(name) if letter == "."):
                if name[cut + 1 :] in short:
                    votes[name[: cut + 1]] += 1
        prefix, found = votes.most_common(1)[0] if votes else ("", 0)
        if found > count:
            best, count, at = prefix, found, 1 - place
    if not best:
        return first, second, ""
    tables = [first, second]
    tables[at] = {name.removeprefix(best): tensor for name, tensor in tables[at].items()}
    where = ("first", "second")[at]
    return (
        tables[0],
        tables[1],
        f"names of the {where} file are compared without {best!r}, which {count} have before them.",
    )


def _narrower(one: InspectedTensor, other: InspectedTensor) -> str:
    """The dtype to which the other of the two is rounded; empty unless they are floats of one shape and two widths."""
    widths = {side.dtype: _FLOAT.fullmatch(side.dtype) for side in (one, other)}
    bits = {dtype: int(found[1]) for dtype, found in widths.items() if found is not None}
    return min(bits, key=lambda dtype: bits[dtype]) if one.shape == other.shape and len({*bits.values()}) == 2 else ""


def _value_words(
    alike: list[str], rounded: dict[str, str], differing: list[ValueDifference], left: list[str]
) -> list[str]:
    """A sentence about the tensors of one dtype, and one about those that were rounded to the narrower of two."""
    words = []
    if alike or not rounded:
        mine = [one for one in differing if one.name not in rounded]
        words.append(value_words(len(alike), mine, [name for name in left if name not in rounded]))
    if rounded:
        its = [one for one in differing if one.name in rounded]
        words.append(rounded_words(rounded, its, [name for name in left if name in rounded]))
    return words


def _empty(paths: tuple[Path, Path], sides: list[tuple[Content, int]]) -> list[str]:
    """A sentence for each file in which there is nothing that could be compared."""
    return [
        f"{path.name} holds no tensors that are listed: {' '.join(content.words[:1]) or content.kind}"
        for path, (content, _) in zip(paths, sides)  # noqa: B905 (two of either)
        if not content.tensors
    ]


def _summary(gone: list[str], new: list[str], shapes: list[str], dtypes: list[str]) -> str:
    parts = [
        f"{len(names)} {what} ({', '.join(names[:3])}{' …' if len(names) > 3 else ''})"
        for names, what in (
            (gone, "in the first file only"),
            (new, "in the second only"),
            (shapes, "of another shape"),
            (dtypes, "of another dtype"),
        )
        if names
    ]
    return f"{'; '.join(parts)}."


def _form(tensor: InspectedTensor) -> tuple[str, tuple[int, ...]]:
    return tensor.dtype, tensor.shape


def _shape(tensor: InspectedTensor) -> str:
    return f"[{','.join(map(str, tensor.shape))}]"


def _ties(one: dict[str, InspectedTensor], other: dict[str, InspectedTensor], which: str) -> list[str]:
    """Names that share a storage in `one` and, though both are there, not in `other`."""
    groups: dict[str, list[str]] = defaultdict(list)
    for name, tensor in one.items():
        if tensor.storage and tensor.bytes and name in other:  # meta tensors hold nothing to share
            groups[tensor.storage].append(name)
    apart = [names for names in groups.values() if len(names) > 1 and len({_key(other[n]) for n in names}) > 1]
    return [f"{' and '.join(names[:3])} share memory in the {which} file only" for names in apart]


def _key(tensor: InspectedTensor) -> str:
    return tensor.storage or tensor.name
