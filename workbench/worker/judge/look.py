"""A look at one output: flatten, compare with the reference, count what its graph holds, keep a copy.

Owns what a look finds and writes into a row. It never calls the model; outside of inference mode's rules it makes
ordinary tensors only.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any

from workbench.protocol.failures import error
from workbench.worker.judge import memory
from workbench.worker.judge.breaking import stored
from workbench.worker.judge.cause import cause, other_inputs
from workbench.worker.judge.digest import digest
from workbench.worker.judge.graph import NODE_LIMIT
from workbench.worker.judge.leak import size
from workbench.worker.judge.leaves import Flat, flatten
from workbench.worker.judge.pieces import bytes_of
from workbench.worker.judge.replay import Generators, Parts, Record
from workbench.worker.judge.rows import Judged, Row, judge_digests, judge_output, not_comparable
from workbench.worker.judge.store import LARGEST_OUTPUT, output_bytes, same_bits

if TYPE_CHECKING:
    from workbench.worker.judge.run import Runs


SCAN_LIMIT = 64 << 20
"""Bytes of a leaf in which NaN is looked for after a run: 20 ms."""

DIGEST_LIMIT = 8 << 30
"""Bytes of an output that are read for its digest, 8 s; an expanded tensor may claim any number."""


class Looker:
    """Looks at the outputs of one fire."""

    def __init__(self, runs: Runs, parts: Parts) -> None:
        self._runs, self._parts = runs, parts

    def first(self, row: Row, output: Any) -> None:
        """The first output of a row: judged, kept, and the reference when there is none yet.

        Raises `WorkbenchError("forward")` when there is no tensor in it.
        """
        flat = flatten(output)
        require_tensor(flat, output)
        row.moved = row.record.generators.moved(Generators.take())
        self._weigh(row, flat)
        row.note(not_finite(flat))
        runs = self._runs
        if not runs.reference:
            self._keep(row, flat, 0)  # first: what could not be kept is no reference
            row.reference = True
            runs.make_reference(row.number)
            return
        row.against = runs.reference
        judged = self._judge(row, flat, row.record)
        row.judged, row.compared, row.differing = judged, 1, int(judged.differs)
        row.same_as = 0 if judged.mark == "identical" else self._repeats(row, flat)
        self._keep(row, flat, runs.reference if judged.mark == "identical" else row.same_as)
        self._name_cause(row, row.record, row.moved)

    def further(self, row: Row, output: Any, record: Record) -> None:
        """A later output of a repeat; it is kept in the place of the row's when it is worse."""
        flat = flatten(output)
        require_tensor(flat, output)
        moved = record.generators.moved(Generators.take())
        self._weigh(row, flat)
        row.against = self._runs.reference
        judged = self._judge(row, flat, record)
        row.compared += 1
        row.differing += int(judged.differs)
        if not judged.worse_than(row.judged):
            return
        row.judged = judged
        self._name_cause(row, record, moved)
        if not row.reference and judged.differs:
            row.record, row.moved = record, moved
            self._keep(row, flat, 0)

    def _judge(self, row: Row, flat: Flat, record: Record) -> Judged:
        """An output that came of `record`; on other inputs than the reference's it is not comparable."""
        judged = self._compare(row, flat)
        reference = self._runs.rows.get(self._runs.reference)
        if judged.differs and reference is not None and other_inputs(record, reference.record):
            return not_comparable(judged)
        return judged

    def _compare(self, row: Row, flat: Flat) -> Judged:
        reference = self._runs.rows[self._runs.reference] if self._runs.reference != row.number else row
        if reference.digest or row.output_bytes > LARGEST_OUTPUT:
            if row.output_bytes > LARGEST_OUTPUT and not reference.digest:
                return Judged("incomparable", note=f"output of {size(row.output_bytes)} is not copied")
            return judge_digests(reference.digest, summary(flat), size(row.output_bytes))
        return judge_output(self._runs.reference_output(), flat, self._runs.yardstick)

    def _repeats(self, row: Row, flat: Flat) -> int:
        """The run just before, if it gave the same bits: after a switch it shows that answers repeat again."""
        before, store = row.number - 1, self._runs.store
        if before not in self._runs.rows or before not in store or before == self._runs.reference:
            return 0
        return before if row.output_bytes <= LARGEST_OUTPUT and same_bits(store.get(before), flat) else 0

    def _weigh(self, row: Row, flat: Flat) -> None:
        tensors = [tensor for _, tensor in flat.leaves]
        row.saved_bytes, whole = memory.saved_of_graph(tensors, self._parts.parameters)
        if not whole:
            row.note(f"graph of more than {NODE_LIMIT} nodes: saved bytes are a lower bound")
        row.output_bytes = output_bytes(flat)
        if row.modes.grad == "grad" and not any(tensor.requires_grad for tensor in tensors):
            row.note("no graph: no output requires grad")
        self._runs.last_saved = row.saved_bytes

    def _keep(self, row: Row, flat: Flat, same_as: int) -> None:
        if row.output_bytes > LARGEST_OUTPUT:
            row.digest = summary(flat)
            row.note(f"output of {size(row.output_bytes)} is not copied; only its digest is kept")
            return
        self._runs.store.put(row.number, flat, same_as)

    def _name_cause(self, row: Row, record: Record, moved: tuple[str, ...]) -> None:
        reference = row if row.reference else self._runs.rows.get(self._runs.reference)
        if reference is not None and row.judged.differs:
            row.cause = cause(record, moved, reference.record, reference.moved)


def not_finite(flat: Flat) -> str:
    """ "output: 40 of 40 elements are NaN or infinite": identical bits say nothing of such an answer."""
    for path, leaf in flat.leaves:
        if leaf.element_size() == 1 or bytes_of(leaf) > SCAN_LIMIT:
            continue
        parts = stored(leaf.detach())
        total = sum(part.numel() for part in parts)
        wrong = total - sum(int(part.isfinite().sum()) for part in parts)
        if wrong:
            return f"{path}: {wrong} of {total} elements {'is' if wrong == 1 else 'are'} NaN or infinite"
    return ""


def summary(flat: Flat) -> bytes:
    """The digest of an output too large to keep; beyond `DIGEST_LIMIT` one that never equals another."""
    return digest(flat) if output_bytes(flat) <= DIGEST_LIMIT else secrets.token_bytes(16)


def require_tensor(flat: Flat, output: Any) -> None:
    """Raises `WorkbenchError("forward")` for an output without any tensor."""
    if flat.leaves:
        return
    message = "the model returned no tensor"
    if output is None:
        remedy = "Its forward returned None: is a `return` missing?"
    else:
        remedy = (
            f"It returned {type(output).__name__}; return a tensor, or tuples, lists, dicts or dataclasses of tensors."
        )
    raise error("forward", message, "output", remedy)
