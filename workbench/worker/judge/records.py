"""What the rows keep for a replay: how many bytes that is, and that it stays bounded.

Owns the count and which rows give their records up. It never runs the model and never drops a row.
"""

from __future__ import annotations

import torch

from workbench.worker.judge.replay import Record
from workbench.worker.judge.rows import Row

RECORDS = 256
"""Newest rows that can be replayed."""
RECORD_BYTES = 512 << 20
"""Bytes of all records together (a model in train mode moves its buffers with each run) beyond which the oldest go."""
ROW_BYTES = 6 << 10
"""About what a row holds beside its record and its output: its numbers, its words, the tree of its output."""


class Records:
    """The replay records of all rows; what several share is counted once."""

    def __init__(self) -> None:
        self._shares: dict[int, tuple[int, int]] = {}
        """Identity of a part → (records that hold it, its bytes). They keep it alive, so no identity is used twice."""
        self._full: dict[int, Row] = {}
        self._rows = 0
        self._bytes = 0

    @property
    def bytes(self) -> int:
        """Bytes of the rows and of all that their records hold."""
        return self._bytes + self._rows * ROW_BYTES

    def admit(self, row: Row, reference: int) -> None:
        """Count a new row, and make the oldest give up what is too much; the reference's record is never given up."""
        self._rows += 1
        self._full[row.number] = row
        for key, size in row.record.parts():
            holders, _ = self._shares.get(key, (0, 0))
            self._shares[key] = (holders + 1, size)
            self._bytes += 0 if holders else size
        while len(self._full) > RECORDS or self._bytes > RECORD_BYTES:
            oldest = next(
                (one for one in self._full.values() if one.number != reference and one is not row and not one.pinned),
                None,
            )
            if oldest is None:
                return
            self._give_up(oldest)

    def forget(self, row: Row) -> None:
        """A row that is dropped."""
        self._rows -= 1
        if row.number in self._full:
            self._give_up(row)

    def tensors(self) -> list[torch.Tensor]:
        """What the records hold of generators and buffers."""
        records = [row.record for row in self._full.values()]
        return [
            tensor for one in records for tensor in (one.generators.cpu, *one.generators.cuda, *(one.buffers or ()))
        ]

    def holds(self, thing: object) -> bool:
        """Whether a part is counted here already."""
        return id(thing) in self._shares

    def _give_up(self, row: Row) -> None:
        del self._full[row.number]
        for key, size in row.record.parts():
            holders, _ = self._shares.pop(key)
            if holders > 1:
                self._shares[key] = (holders - 1, size)
            else:
                self._bytes -= size
        row.record = Record.light(row.record)
