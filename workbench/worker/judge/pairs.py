"""Two forwards of one model that should agree, and can be run again and again from where they began.

Owns where each begins: two recorded runs, or the same inputs twice from here. Only inside `kept_as_it_is`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from workbench.protocol.model import Modes
from workbench.worker.bench.modes import running
from workbench.worker.judge.held import Snapshot
from workbench.worker.judge.live import copies_of, replay
from workbench.worker.judge.replay import Generators, Parts, Record

Inputs = tuple[Any, Any]
"""Positional and keyword arguments."""


class Pair:
    """The reference and the run that is held against it."""

    drifts = True
    """The second begins where the first left the attributes; otherwise both begin with those of now."""

    def __init__(self, model: nn.Module, parts: Parts, snapshot: Snapshot, numbers: tuple[int, int]) -> None:
        self.model, self.parts, self.snapshot, self.numbers = model, parts, snapshot, numbers
        self.threads = 0
        """In the place of the number of threads of both, unless 0."""

    @property
    def modes(self) -> tuple[Modes, Modes]:
        raise NotImplementedError

    def prepare(self, which: int) -> None:
        """Bring everything to where the reference's forward (0) began, or after that to where the other's (1) did.

        Before anything is hooked in: what is put back is everything, hooks too.
        """
        raise NotImplementedError

    def forward(self, which: int) -> Any:
        """The forward itself, after `prepare`."""
        raise NotImplementedError

    def moved(self) -> list[tuple[str, str]]:
        """(name, how) of what the first forward left otherwise and no record tells; after `first`."""
        return [(name, how) for name, how in self.snapshot.moved() if not self.recorded(name)]

    def recorded(self, name: str) -> bool:
        """Whether this is put where it should be before each forward anyway."""
        return name.startswith("input ") or name.rpartition(".")[2] == "training"

    def put_back(self, wanted: Callable[[str], bool]) -> None:
        """Give what has these names its value of before the first forward."""
        self.snapshot.put_back(wanted)


class OfRecords(Pair):
    """Two runs of the bench, from what was recorded of them."""

    def __init__(
        self,
        model: nn.Module,
        parts: Parts,
        snapshot: Snapshot,
        numbers: tuple[int, int],
        records: tuple[Record, Record],
        drifts: bool,
    ) -> None:
        super().__init__(model, parts, snapshot, numbers)
        self.records, self.drifts = records, drifts
        self._buffers = {path for path, _, _ in parts.buffers}

    @property
    def modes(self) -> tuple[Modes, Modes]:
        return self.records[0].modes, self.records[1].modes

    def prepare(self, which: int) -> None:
        if which == 0 or not self.drifts:
            self.snapshot.restore()

    def forward(self, which: int) -> Any:
        return replay(self.model, self.parts, self.records[which], self.threads)

    def recorded(self, name: str) -> bool:
        return super().recorded(name) or name in self._buffers


class FromHere(Pair):
    """Forwards one after the other from here, with nothing put back between them."""

    def __init__(
        self,
        model: nn.Module,
        parts: Parts,
        snapshot: Snapshot,
        modes: Modes,
        calls: Sequence[Inputs],
        seeded: bool,
        declared: Callable[[str], bool] | None,
        threads: tuple[int, int] = (0, 0),
    ) -> None:
        """The last of `calls` is held against the first.

        `seeded`: each with the generators where the first had them; what has a `declared` name is put back before each;
        `threads` of the first and of the others, 0: those of the modes.
        """
        super().__init__(model, parts, snapshot, (1, len(calls)))
        self._modes = tuple(replace(modes, threads=count or modes.threads) for count in threads)
        self._calls, self._seeded, self._declared = calls, seeded, declared
        self._generators = Generators.take()

    @property
    def modes(self) -> tuple[Modes, Modes]:
        return self._modes[0], self._modes[1]

    def prepare(self, which: int) -> None:
        if which == 0:
            self.snapshot.restore()
        else:
            for inputs in self._calls[1:-1]:
                self._between(which)
                self._forward(inputs, which)
        self._between(which)

    def forward(self, which: int) -> Any:
        return self._forward(self._calls[-1 if which else 0], which)

    def _between(self, which: int) -> None:
        """Before each forward: what is to be the same for all of them."""
        if which == 0 or self._seeded:
            self._generators.put()
        if which and self._declared is not None:
            self.snapshot.put_back(self._declared)

    def _forward(self, inputs: Inputs, which: int) -> Any:
        args, kwargs = copies_of(*inputs)
        modes = self._modes[which]
        threads = self.threads or (modes.threads if self._modes[0].threads != self._modes[1].threads else 0)
        if threads:
            torch.set_num_threads(threads)
        with running(modes):
            return self.model(*args, **kwargs)
