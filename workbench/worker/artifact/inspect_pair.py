"""Two files beside each other: names, shapes, dtypes, sharing; and, on demand, the values of those that fit.

The tables are compared without torch. Values are read through the bench's own reader, which runs nothing.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.protocol.artifacts import InspectedTensor
from workbench.protocol.failures import error
from workbench.protocol.inspected import InspectedPair, InspectPair, ValueDifference
from workbench.worker.artifact.inspect import LISTED, look
from workbench.worker.job import Job

if TYPE_CHECKING:
    import torch

WITH_VALUES = ("safetensors", "state_dict", "index", "directory")
"""Kinds whose tensors are read without running anything."""

_CHUNK = 1 << 20
"""Elements compared at a time."""


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
    words = [f"the same {len(both)} names, shapes and dtypes." if same else _summary(gone, new, shapes, dtypes)]
    words += [told] if told else []
    differing: list[ValueDifference] = []
    if request.values:
        differing = _values(paths, kinds, [(name, first[name].name, second[name].name) for name in alike], job)
        words.append(_value_words(len(alike), differing))
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
        compared=len(alike) if request.values else 0,
        differing=tuple(differing[:LISTED]),
    )


Names = tuple[str, str, str]
"""A tensor as it is called here, in the first file, and in the second."""

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
        if tensor.storage and name in other:
            groups[tensor.storage].append(name)
    apart = [names for names in groups.values() if len(names) > 1 and len({_key(other[n]) for n in names}) > 1]
    return [f"{' and '.join(names[:3])} share memory in the {which} file only" for names in apart]


def _key(tensor: InspectedTensor) -> str:
    return tensor.storage or tensor.name


# values


def _values(paths: tuple[Path, Path], kinds: tuple[str, str], names: list[Names], job: Job) -> list[ValueDifference]:
    """The differences of those that differ. Raises `WorkbenchError` ("usage", "weights")."""
    from workbench.worker.bench.weights import read

    for path, kind in zip(paths, kinds):  # noqa: B905 (two of either)
        if kind not in WITH_VALUES:
            message = f"{path.name} is no file of tensors alone ({kind}): its values are not read here."
            raise error("usage", message, "--values", f"workbench verify {path} --against MODEL proves it.")
    job.progress("reading both files")
    first, second = (read(str(path), hashed=False).tensors for path in paths)
    found = []
    for place, (name, mine, its) in enumerate(names):
        job.raise_if_cancelled()
        job.progress("comparing values", place, len(names))
        one, other = _nested(first, mine), _nested(second, its)
        if one is None or other is None:
            continue
        difference = compare_values(name, one, other)
        if difference is not None:
            found.append(difference)
    return sorted(found, key=lambda one: -one.relative if one.relative == one.relative else -math.inf)


def _nested(tensors: dict[str, Any], name: str) -> Any:
    """The tensor that the file lists under `name`: of a training checkpoint the leading key is taken off already."""
    for known in (name, name.partition(".")[2]):
        if known in tensors:
            return tensors[known]
    return None


def compare_values(name: str, one: torch.Tensor, other: torch.Tensor) -> ValueDifference | None:
    """How two tensors of one shape and dtype differ; None for the same bits. Chunked, in float64."""
    import torch

    if one.layout != torch.strided or one.is_quantized or one.is_meta:
        return None if torch.equal(one, other) else ValueDifference(name, 1, one.numel(), math.nan, math.nan, 0)
    first, second = (side.detach().resolve_conj().resolve_neg().contiguous().reshape(-1) for side in (one, other))
    differing = nonfinite = 0
    largest = squares = scale = 0.0
    for begin in range(0, max(first.numel(), 1), _CHUNK):
        a, b = first[begin : begin + _CHUNK], second[begin : begin + _CHUNK]
        if torch.equal(_bits(a), _bits(b)):
            scale += _squares(a)
            continue
        differing += _differing(a, b)
        wide_a, wide_b = _wide(a), _wide(b)
        fine = torch.isfinite(wide_a) & torch.isfinite(wide_b)
        nonfinite += int((torch.isfinite(wide_a) != torch.isfinite(wide_b)).sum())
        delta = (wide_a - wide_b)[fine]
        if delta.numel():
            largest = max(largest, float(delta.abs().max()))
            squares += float(delta.square().sum())
        scale += float(wide_a[fine].square().sum())
    if not differing:
        return None
    relative = math.sqrt(squares / scale) if scale > 0 else math.nan
    return ValueDifference(name, differing, one.numel(), largest, relative, nonfinite)


def _bits(tensor: torch.Tensor) -> torch.Tensor:
    import torch

    return tensor.view(torch.uint8) if tensor.numel() and tensor.dtype != torch.bool else tensor


def _differing(one: torch.Tensor, other: torch.Tensor) -> int:
    """Elements whose bits differ."""
    wrong = _bits(one) != _bits(other)
    width = wrong.numel() // max(one.numel(), 1)
    return int(wrong.view(-1, max(width, 1)).any(dim=1).sum())


def _wide(tensor: torch.Tensor) -> torch.Tensor:
    import torch

    return torch.view_as_real(tensor).reshape(-1).double() if tensor.is_complex() else tensor.double()


def _squares(tensor: torch.Tensor) -> float:
    import torch

    wide = _wide(tensor)
    return float(wide[torch.isfinite(wide)].square().sum())


def _value_words(compared: int, differing: list[ValueDifference]) -> str:
    if not differing:
        return f"all {compared} that fit hold the same bits."
    worst = differing[0]
    far = f"{worst.name} is off by {worst.relative:.2g} of its RMS, at most {worst.max_abs:.3g}"
    differ = f"{len(differing)} differ{'s' if len(differing) == 1 else ''}"
    return f"{compared - len(differing)} of {compared} hold the same bits; {differ}: {far}."
