"""What an artifact has promised to serve, and the cases that ask for every part of it.

Owns the `contract` of a manifest: dynamic dimensions with their ranges, ranges of values, what was declared by
somebody and what is only known. Makes cases and records; runs nothing.
"""

from __future__ import annotations

from typing import Any

from workbench.protocol.artifacts import Finding
from workbench.worker.artifact.subject import Subject
from workbench.worker.bench.arguments import Argument
from workbench.worker.bench.sampling import tensors_in
from workbench.worker.judge.plan import NAN, NORMAL, SEED_OFFSET, Case

GUARDING = ("export", "aoti")
"""Kinds whose artifacts can refuse a call by themselves."""

_PRIMES = (7, 5, 11, 3, 13, 17, 2, 19, 23, 29, 31)
"""Sizes that no tile, stride or pool divides, in the order in which they are tried."""


def contract_of(subject: Subject, low: int, high: int | None, guarded: bool) -> dict[str, Any]:
    """The manifest's `contract`. low, high: rows that the artifact serves (None: no limit).

    guarded: the artifact is one of ours and of a kind that can guard itself, so that a declared promise which it does
    not keep is a fault. "declared" names the tensors whose spec somebody gave.
    """
    dims: dict[str, dict[str, Any]] = {}
    batch_name = subject.example.batch_name or "batch"
    declared, ranges = [], {}
    for path, (spec, given) in subject.specs.items():
        if given:
            declared.append(path)
            if spec.low is not None and spec.high is not None:
                ranges[path] = [spec.low, spec.high]
        for dim in spec.dynamic:
            if dim.maximum > dim.minimum and dim.name != batch_name:
                entry = {"name": dim.name, "minimum": dim.minimum, "maximum": dim.maximum, "declared": True}
                dims.setdefault(dim.name, {**entry, "axes": {}})["axes"][path] = dim.axis
    if subject.axes:
        own = subject.example.batch_range is not None and high is not None and high > low
        rows = {"name": batch_name, "minimum": low, "maximum": high, "declared": own, "axes": dict(subject.axes)}
        dims = {batch_name: rows, **dims}
    return {"dims": list(dims.values()), "ranges": ranges, "declared": declared, "guarded": guarded}


def contract_cases(subject: Subject, low: int, high: int | None) -> list[Case]:
    """Beyond the plan: every other dynamic dimension at a prime size by itself, two ends mixed, and a NaN."""
    rows = subject.batch or 0
    batch = rows if high is None else min(max(rows, low), high)
    example, others = subject.example, []
    for spec in example.specs:
        others += [dim for dim in spec.dynamic if dim.name != example.batch_name and dim.maximum > dim.minimum]
    named = {dim.name: dim for dim in others}
    wanted: list[tuple[tuple[str, int], ...]] = []
    for dim in named.values():
        prime = next((one for one in _PRIMES if dim.minimum <= one <= dim.maximum), None)
        wanted += [((dim.name, prime),)] if prime is not None else []
    if len(named) > 1:
        dims = list(named.values())
        wanted.append(tuple((dim.name, dim.minimum if at % 2 else dim.maximum) for at, dim in enumerate(dims)))
        wanted.append(tuple((dim.name, dim.maximum if at % 2 else dim.minimum) for at, dim in enumerate(dims)))
    seed = subject.seed + 2 * SEED_OFFSET
    cases = [Case(seed + at, batch, 1.0, NORMAL, "", sizes) for at, sizes in enumerate(wanted)]
    if any(_may_be_nan(argument) for argument in example.arguments):
        cases.append(Case(seed + len(cases), batch, 1.0, NAN))
    return cases


def _may_be_nan(argument: Argument) -> bool:
    drawn = any(not spec.declared and spec.dtype.startswith(("float", "bfloat")) for _, spec in argument.specs)
    return drawn or any(value.is_floating_point() for value in tensors_in(argument.value))


def bounded(cases: list[dict[str, Any]], high: int | None) -> list[Finding]:
    """A largest size that no case has, because its golden data would be too large, is said."""
    largest = max((case["batch"] for case in cases), default=0)
    if high is None or not largest or largest >= high:
        return []
    words = f"the largest batch tried is {largest}, not {high}: its golden data would be too large for a bundle"
    return [Finding("bounded", words)]


def case_words(case: Case, entry: dict[str, Any]) -> str:
    """What is particular about a case: its sizes, or its kind where it has none."""
    sizes = {**({"batch": case.batch} if case.batch else {}), **(entry.get("sizes") or {})}
    return ", ".join(f"{name} {size}" for name, size in sizes.items()) or f"{case.kind} inputs at scale {case.scale:g}"
