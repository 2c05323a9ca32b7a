"""Looks for causes in a model on demand; run as a child: `python attributed.py ROWS`.

"forward" answers with the seconds of one bare forward; "watched" of one with every module watched; "dropout" and
"state" of a whole search for the cause of two runs that part by it; "errors" of a table of errors.
"""

from __future__ import annotations

import dataclasses
import sys
import time
from pathlib import Path
from typing import Any

import torch
from torch import nn

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from workbench.protocol.cause import MeasureErrors
from workbench.protocol.messages import FindDivergence, Fire
from workbench.protocol.model import Modes
from workbench.worker.bench.modes import flags
from workbench.worker.job import Job
from workbench.worker.judge.divergence import find
from workbench.worker.judge.errors import measure
from workbench.worker.judge.replay import Parts
from workbench.worker.judge.run import Runs
from workbench.worker.judge.watch import Watcher


class Block(nn.Module):
    """Two convolutions, a norm and a way around them."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.one, self.two = nn.Conv2d(width, width, 3, padding=1), nn.Conv2d(width, width, 3, padding=1)
        self.norm = nn.BatchNorm2d(width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.norm(self.two(self.one(x).relu()))


class Net(nn.Module):
    """Eight blocks; dropout at the end, or a counter that the answer depends on."""

    def __init__(self, fault: str) -> None:
        super().__init__()
        self.blocks = nn.Sequential(*(Block(32) for _ in range(8)))
        self.drop, self.head = nn.Dropout(0.5 if fault == "dropout" else 0.0), nn.Linear(32, 10)
        self.step, self.calls = (1 if fault == "state" else 0), 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.calls += self.step
        return self.head(self.drop(self.blocks(x).mean((2, 3)))) + 0.01 * self.calls


class Plain:
    """What a search uses of the bench."""

    def __init__(self, fault: str, rows: int) -> None:
        torch.manual_seed(0)
        self.model = Net(fault).eval()
        self.model.drop.train()
        self.args: tuple[Any, ...] = (torch.randn(rows, 32, 56, 56),)
        self.kwargs: dict[str, Any] = {}
        training, flips = flags(self.model)
        self.modes = dataclasses.replace(Modes(grad="no_grad", seed=0), training=training, flips=flips)

    def look_at_weights(self) -> str:
        return ""


def main() -> None:
    job = Job(1, lambda body, number: None)
    runs = {}
    for fault in ("dropout", "state"):
        bench = Plain(fault, int(sys.argv[1]))
        runs[fault] = bench, Runs(bench)  # type: ignore[arg-type]
        for _ in range(2):
            runs[fault][1].fire(Fire(1), job)
    bench, fired = runs["dropout"]
    print("ready", flush=True)
    for line in sys.stdin:
        word = line.strip()
        began = time.perf_counter()
        if word == "forward":
            with torch.no_grad():
                bench.model(*bench.args)
        elif word == "watched":
            with torch.no_grad(), Watcher(Parts(bench.model).modules, job).on():
                bench.model(*bench.args)
        elif word == "errors":
            table = measure(bench, fired, MeasureErrors(2, 1), job)  # type: ignore[arg-type]
            assert table.calls[table.starts].path == "drop"
        else:
            found = find(runs[word][0], runs[word][1], FindDivergence(2, 1), job)  # type: ignore[arg-type]
            assert found.kind == {"dropout": "dropout", "state": "hidden state"}[word], found
        print(time.perf_counter() - began, flush=True)


if __name__ == "__main__":
    main()
