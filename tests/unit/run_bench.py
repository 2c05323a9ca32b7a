"""A bench of plain parts for the tests of runs: a model, its inputs, its switches, and a job that collects events."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import nn

from workbench.protocol.messages import Fire
from workbench.protocol.model import Modes
from workbench.protocol.runs import RunRow
from workbench.worker.bench.modes import flags
from workbench.worker.job import Job
from workbench.worker.judge.run import Runs


@dataclass
class PlainBench:
    """What `Runs` uses of the real bench."""

    model: nn.Module
    args: tuple[Any, ...]
    kwargs: dict[str, Any] = field(default_factory=dict)
    modes: Modes = field(default_factory=Modes)
    drawn: int = 0

    def new_inputs(self) -> None:
        self.drawn += 1
        self.args = tuple(torch.randn_like(value) for value in self.args)

    def look_at_weights(self) -> str:
        return ""

    def switch(self, **change: Any) -> None:
        """`training` for the whole model; everything else is a field of `Modes`."""
        training = change.pop("training", None)
        if training is not None:
            self.model.train(training)
        now, flips = flags(self.model)
        self.modes = replace(self.modes, training=now, flips=flips, **change)


class Sent:
    """A job, and what it emitted."""

    def __init__(self) -> None:
        self.events: list[Any] = []
        self.job = Job(1, lambda body, number: self.events.append(body))

    def of(self, kind: type) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]


class Drop(nn.Module):
    """The small net of the story."""

    def __init__(self, rate: float = 0.5) -> None:
        super().__init__()
        self.fc1, self.drop, self.fc2 = nn.Linear(10, 32), nn.Dropout(rate), nn.Linear(32, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc2(self.drop(self.fc1(x).relu()))


def bench_with(model: nn.Module | None = None, *args: Any, **modes: Any) -> tuple[PlainBench, Runs]:
    """A bench and its runs; `modes` as for `switch`."""
    torch.manual_seed(0)
    bench = PlainBench(model or Drop(), args or (torch.randn(4, 10),))
    bench.switch(**modes)
    return bench, Runs(bench)  # type: ignore[arg-type]


def fire(runs: Runs, count: int = 1, **more: Any) -> RunRow:
    return runs.fire(Fire(count, **more), Sent().job)
