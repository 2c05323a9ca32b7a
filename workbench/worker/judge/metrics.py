"""A person's own numbers: functions of the reference's and the candidate's outputs, called once a case.

Owns loading such a function and what its numbers come to. It never sees inputs and never changes a tensor: each call
gets copies.
"""

from __future__ import annotations

import importlib.util
import math
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from workbench.protocol.artifacts import CheckRow, Finding
from workbench.protocol.outside import AT_MOST, METRIC_ID, Metric
from workbench.worker.artifact.prove_cases import leaf_name
from workbench.worker.judge.leaves import Flat


@dataclass
class _Measured:
    """One metric and its numbers so far."""

    metric: Metric
    call: Callable[..., Any] | None
    wrong: str = ""
    """Why it has no number, with the line; the first such reason."""
    numbers: list[tuple[int, float]] = field(default_factory=list)
    """(case, number)."""


class Metrics:
    """All of a person's metrics over the cases of one verdict."""

    def __init__(self, metrics: Sequence[Metric]) -> None:
        self._measured = [_loaded(one) for one in metrics]

    def observe(self, case: int, reference: Flat, candidate: Flat) -> None:
        """Call each function with this case's outputs by name."""
        for one in self._measured:
            if one.call is None or one.wrong:
                continue
            try:
                value = one.call(_named(reference), _named(candidate))
                one.numbers.append((case, float(value)))
            except Exception as problem:  # noqa: BLE001 (a person's own code)
                one.wrong = f"case {case}: {_words(problem, one.metric.path)}"

    def rows(self, reached: bool = True) -> tuple[CheckRow, ...]:
        """A row for each that has a limit, and for each that raised.

        A limit without a number holds nothing and is an error, unless not `reached`: another row says why already.
        """
        return tuple(_row(one, reached) for one in self._measured if one.metric.relation or one.wrong)

    def findings(self) -> tuple[Finding, ...]:
        """The numbers of those without a limit."""
        free = [one for one in self._measured if not one.metric.relation and not one.wrong]
        return tuple(Finding(_id(one), _spread(one) if one.numbers else _NO_NUMBER) for one in free)


_NO_NUMBER = "it has no number: no case was answered by both sides"


def _row(one: _Measured, reached: bool) -> CheckRow:
    if one.wrong:
        return CheckRow(_id(one), "error", one.wrong, "the metric's own code", "Mend it, or leave --metric out.")
    if not one.numbers:
        remedy = "See above why nothing was answered, or leave the limit out." if reached else ""
        return CheckRow(_id(one), "error" if reached else "skip", _NO_NUMBER, remedy=remedy)
    worst = max if one.metric.relation == AT_MOST else min
    case, number = worst(one.numbers, key=lambda pair: math.inf if math.isnan(pair[1]) else pair[1])
    lost = next(((place, value) for place, value in one.numbers if math.isnan(value)), None)
    if lost is not None:
        case, number = lost
    holds = number <= one.metric.limit if one.metric.relation == AT_MOST else number >= one.metric.limit
    evidence = f"{_spread(one)}; declared: {one.metric.relation} {one.metric.limit:g}"
    cause = "" if holds else f"{number:.6g} in case {case}"
    return CheckRow(_id(one), "pass" if holds else "fail", evidence, cause)


def _spread(one: _Measured) -> str:
    numbers = [value for _, value in one.numbers]
    count = f"over {len(numbers)} cases"
    if any(math.isnan(value) for value in numbers):
        return f"NaN in {sum(map(math.isnan, numbers))} of {len(numbers)} cases"
    return f"{min(numbers):.6g} to {max(numbers):.6g}, mean {sum(numbers) / len(numbers):.6g} {count}"


def _id(one: _Measured) -> str:
    return METRIC_ID + one.metric.function


def _named(flat: Flat) -> dict[str, Any]:
    return {leaf_name(path): leaf.clone() for path, leaf in flat.leaves}


def _loaded(metric: Metric) -> _Measured:
    name = f"workbench_metric_{abs(hash(metric.path)):x}"
    folder = str(Path(metric.path).parent)
    written, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    known = set(sys.modules)
    sys.path.insert(0, folder)  # what lies beside it, as for a script
    try:
        spec = importlib.util.spec_from_file_location(name, metric.path)
        if spec is None or spec.loader is None:
            return _Measured(metric, None, f"{metric.path} is no Python file")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        call = getattr(module, metric.function, None)
    except Exception as problem:  # noqa: BLE001 (a person's own code)
        return _Measured(metric, None, _words(problem, metric.path))
    finally:
        sys.path.remove(folder)
        sys.dont_write_bytecode = written
        for other in set(sys.modules) - known:  # a helper of the model may have the name of one of the metric's
            if str(getattr(sys.modules[other], "__file__", None) or "").startswith(folder + os.sep):
                del sys.modules[other]
    if not callable(call):
        return _Measured(metric, None, f"{metric.path} has no function {metric.function}")
    return _Measured(metric, call)


def _words(problem: BaseException, path: str) -> str:
    """The error with the last line of the person's own file that it came through."""
    frames = [frame for frame in traceback.extract_tb(problem.__traceback__) if frame.filename == path]
    where = f"{Path(path).name}:{frames[-1].lineno}: " if frames else ""
    return f"{where}{type(problem).__name__}: {' '.join(str(problem).split())[:300]}"
