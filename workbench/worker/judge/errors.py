"""The error of every module call of one run against another's: what it was given, what it makes, what comes out.

Owns the passes. The reference runs once for each window of calls that fits into memory, and is held as copies; the
other run is compared on the fly. A local error is measured by giving the calls of one depth the reference's inputs, so
that a forward of the other run serves every call of that depth, with the state that it has there. Nothing is timed or
judged.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import torch

from workbench.protocol.cause import CallError, ErrorTable, MeasureErrors
from workbench.protocol.failures import WorkbenchError, error
from workbench.worker.bench.failing import is_users
from workbench.worker.bench.sampling import map_each, tensors_in
from workbench.worker.job import Cancelled, Job
from workbench.worker.judge import memory
from workbench.worker.judge.error_words import calls_below, told
from workbench.worker.judge.leaves import Flat, flatten
from workbench.worker.judge.live import kept_as_it_is
from workbench.worker.judge.numbered_calls import OURS, Key, NumberedCall, NumberedCalls
from workbench.worker.judge.pieces import bytes_of
from workbench.worker.judge.relative import noise_limit, relative_error
from workbench.worker.judge.sides import Side, explained, model_of

if TYPE_CHECKING:
    from workbench.worker.bench.bench import Bench
    from workbench.worker.judge.run import Runs

CALLS = 5_000
"""Calls that are listed."""
COPIES = 4 << 30
"""Most bytes of the reference's values that are held at once."""
WINDOWS = 4
"""So often the reference is run at most; calls that are not held by then are not measured."""
DEPTH = 16
"""Calls deeper within each other have no local error of their own."""


def measure(bench: Bench, runs: Runs, request: MeasureErrors, job: Job) -> ErrorTable:
    """The table of a run against another. Model, inputs, generators and switches are as before afterwards.

    Raises `WorkbenchError("usage")` for runs that cannot be replayed, and what a forward raises as `WorkbenchError`.
    """
    against = request.against or runs.reference
    if not against or request.run == against:
        raise error("usage", "A run has no error against itself.", f"run {request.run}", "Choose another run.")
    rows = runs.row(against), runs.row(request.run)
    try:
        (first, one), (second, two) = (model_of(bench, runs, row, job) for row in rows)
        with kept_as_it_is(first) as a, kept_as_it_is(second) as b:
            sides = (
                Side(f"run {against}", first, rows[0].record, a),
                Side(f"run {request.run}", second, rows[1].record, b),
            )
            calls, total = table(*sides, job)
            drifts = first is second and rows[1].judged.differs and calls and calls[0].answered == 0
            if drifts:
                sides[1].after = sides[0]
                calls, total = table(*sides, job)
    except (WorkbenchError, Cancelled):
        raise
    except Exception as problem:
        if OURS in vars(problem):
            raise
        raise explained(problem, bench) from problem
    starts, grows, words = told(calls)
    left = f"run {request.run} begins with the attributes that run {against} leaves" if drifts else ""
    dtypes = rows[0].dtype, rows[1].dtype
    cast = f"own: with what it was given in {dtypes[0]} rounded to {dtypes[1]}" if dtypes[0] != dtypes[1] else ""
    notes = tuple(filter(None, (one, two, left, cast)))
    return ErrorTable(request.run, against, calls, starts, grows, total, words, notes)


def table(a: Side, b: Side, job: Job) -> tuple[tuple[CallError, ...], int]:
    """Every call of both forwards in the order of `a`, the reference; and how many there were.

    Only inside snapshots of both models that are put back. The models may be of different dtypes.
    """
    return _Table(a, b, job).made()


@dataclass(eq=False)
class _Held:
    """One call of the reference."""

    row: CallError
    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = field(default_factory=dict)
    received: Flat | None = None
    answered: Flat | None = None

    def let_go(self) -> None:
        self.args, self.kwargs, self.received, self.answered = (), {}, None, None

    @property
    def whole(self) -> bool:
        return self.received is not None and self.answered is not None


class _Table:
    """The passes over two sides."""

    def __init__(self, a: Side, b: Side, job: Job) -> None:
        self._a, self._b, self._job = a, b, job
        self._calls: dict[Key, _Held] = {}
        """In the order in which the reference called them."""
        self._done: set[Key] = set()
        self._left = 0

    def made(self) -> tuple[tuple[CallError, ...], int]:
        for window in range(WINDOWS):
            before = len(self._done)
            self._reference(window)
            window_keys = [key for key, held in self._calls.items() if held.whole]
            self._compare("given and answered", None)
            for depth in sorted({self._calls[key].row.depth for key in window_keys}):
                if depth < DEPTH:
                    self._compare(f"local errors at depth {depth + 1}", depth)
            self._done.update(window_keys)
            for key in window_keys:
                self._calls[key].let_go()
            if len(self._done) in (before, len(self._calls)):
                break
        rows = [held.row for held in self._calls.values()]
        missing = "too large to be held"
        rows = [row if (row.path, row.call) in self._done else replace(row, note=row.note or missing) for row in rows]
        return tuple(_with_limits(rows[:CALLS])), len(rows)

    def _reference(self, window: int) -> None:
        """Run the reference, and hold what fits of the calls that were not measured yet."""
        available, _ = memory.available()
        self._left = min(COPIES, available // 4)
        self._job.progress(f"replaying {self._a.name}")
        self._a.prepare()
        with NumberedCalls(self._a.parts.modules, self._job).on(self._enter_first, self._leave_first):
            self._a.forward()

    def _enter_first(self, call: NumberedCall, args: Any, kwargs: Any) -> None:
        held = self._calls.get(call.key)
        if held is None:
            nan = float("nan")
            row = CallError(*call.key, type(call.module).__name__, call.depth, nan, nan, nan, 0.0, _where(call))
            held = self._calls[call.key] = _Held(row)
            if call.above is not None and call.above in self._calls:
                above = self._calls[call.above]
                above.row = replace(above.row, inner=True)
        size = sum(bytes_of(one) for one in tensors_in((args, kwargs)))
        if call.key in self._done or size > self._left:
            return
        self._left -= size
        held.args, held.kwargs = map_each((args, kwargs), _copy)
        held.received = flatten((held.args, held.kwargs))

    def _leave_first(self, call: NumberedCall, output: Any) -> None:
        held, flat = self._calls[call.key], flatten(output)
        size = sum(bytes_of(one) for _, one in flat.leaves)
        if held.received is None or size > self._left:
            return
        self._left -= size
        held.answered = Flat(flat.structure, [(path, _copy(one)) for path, one in flat.leaves], flat.opaque)

    def _compare(self, phase: str, depth: int | None) -> None:
        """Run the other; with a `depth` its calls there are given what the reference's were given."""
        self._job.progress(f"{self._b.name}: {phase}")
        self._b.prepare()

        def enter(call: NumberedCall, args: Any, kwargs: Any) -> Any:
            held = self._calls.get(call.key)
            if held is None or not held.whole or held.received is None:
                return None
            if depth is None:
                given = flatten((args, kwargs))
                held.row = replace(held.row, received=relative_error(held.received, given))
                return None
            return _instead(held, args, kwargs) if call.depth == depth else None

        def leave(call: NumberedCall, output: Any) -> None:
            held = self._calls.get(call.key)
            if held is None or held.answered is None or (depth is not None and call.depth != depth):
                return
            flat = flatten(output)
            amount = relative_error(held.answered, flat)
            note = "another structure" if math.isnan(amount) else held.row.note
            if depth is None:
                held.row = replace(held.row, answered=amount, limit=noise_limit(held.answered, flat), note=note)
            else:
                held.row = replace(held.row, local=amount, note=note)

        with NumberedCalls(self._b.parts.modules, self._job).on(enter, leave):
            self._b.forward()
        if depth is None:
            for held in self._calls.values():
                if held.whole and math.isnan(held.row.received) and not held.row.note:
                    held.row = replace(held.row, note=f"not called in {self._b.name}, or given another structure")


def _instead(held: _Held, args: Any, kwargs: Any) -> Any:
    """The reference's inputs in copies, of the dtypes and on the devices that this call was given; None: no such."""
    given = tensors_in((args, kwargs))
    if len(given) != len(tensors_in((held.args, held.kwargs))):
        return None
    likes = dict(zip(map(id, tensors_in((held.args, held.kwargs))), given))  # noqa: B905 (as many)

    def like(tensor: torch.Tensor) -> torch.Tensor:
        other = likes[id(tensor)]
        dtype = other.dtype if tensor.is_floating_point() and other.is_floating_point() else tensor.dtype
        return tensor.to(device=other.device, dtype=dtype, copy=True)

    return map_each((held.args, held.kwargs), like)


def _with_limits(rows: Sequence[CallError]) -> Iterator[CallError]:
    """A call that makes others may round as often as they do: rounding errors add up as the root of their number."""
    for place, row in enumerate(rows):
        below = len(calls_below(rows, place)) if row.inner else 0
        yield replace(row, limit=row.limit * math.sqrt(1 + below)) if below else row


def _copy(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.detach().clone()


def _where(call: NumberedCall) -> str:
    code = getattr(inspect.unwrap(type(call.module).forward), "__code__", None)
    if code is not None and is_users(code.co_filename):
        return f"{code.co_filename}:{code.co_firstlineno}"
    return call.site if call.above is not None else ""
