"""Where two runs part: the module, the kind, the operator and the line; and nothing is changed by looking."""

from __future__ import annotations

import itertools
import random
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from tests.unit.model_state import held_by
from tests.unit.run_bench import Drop, PlainBench, Sent, bench_with, fire
from workbench.protocol.failures import WorkbenchError
from workbench.protocol.messages import FindDivergence
from workbench.protocol.runs import Divergence, RunRow
from workbench.worker.bench.modes import flags
from workbench.worker.judge.digest import digest
from workbench.worker.judge.divergence import find
from workbench.worker.judge.leaves import flatten
from workbench.worker.judge.replay import Generators
from workbench.worker.judge.run import Runs


def part(bench: PlainBench, runs: Runs, run: int = 2, against: int = 1) -> Divergence:
    return find(bench, runs, FindDivergence(run, against), Sent().job)  # type: ignore[arg-type]


def fired_twice(model: nn.Module, *args: Any, **modes: Any) -> Divergence:
    bench, runs = bench_with(model, *args, **modes)
    fire(runs)
    assert fire(runs).mark != "identical"
    return part(bench, runs)


def line_of(text: str) -> int:
    with open(__file__, encoding="utf-8") as stream:
        return next(number for number, line in enumerate(stream, 1) if text in line and "line_of" not in line)


def test_dropout_in_train_mode_is_found_and_the_difference_is_that_of_the_run() -> None:
    bench, runs = bench_with()
    fire(runs)
    fire(runs)
    found = part(bench, runs)
    assert (found.module, found.type, found.kind, found.call, found.replayed) == ("drop", "Dropout", "dropout", 0, True)
    assert found.words == "drop (Dropout p=0.5) is in train mode: it draws a new mask each run."
    assert found.remedy == "Press t on it, or e for eval; on the command line --mode drop=eval."
    assert found.modules == ("drop", "fc2", "")
    assert found.max_abs > 0
    assert "run_bench.py:" in found.where


def test_the_same_dropout_in_one_of_both_runs() -> None:
    bench, runs = bench_with()
    fire(runs)
    bench.switch(training=False)
    fire(runs)
    found = part(bench, runs)
    assert (found.module, found.kind) == ("drop", "dropout")
    assert "in train mode in run 1 only" in found.words


def test_batch_norm_in_train_mode_and_its_moved_statistics() -> None:
    model = nn.Sequential(nn.Linear(10, 6), nn.BatchNorm1d(6), nn.ReLU())
    bench, runs = bench_with(model, training=False)
    fire(runs)
    bench.switch(training=True)
    fire(runs)
    found = part(bench, runs)
    assert (found.module, found.kind) == ("1", "batch statistics")
    assert "in train mode in run 2 only" in found.words
    bench.switch(training=False)
    fire(runs)
    found = part(bench, runs, 3)
    assert (found.module, found.kind) == ("1", "batch statistics")
    assert "running_mean" in found.words


class FunctionalDropout(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(10, 32), nn.Linear(32, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        hidden = self.fc1(x)
        hidden = F.dropout(hidden, 0.5)
        return self.fc2(hidden)


def test_functional_dropout_is_named_with_its_line_between_its_neighbours() -> None:
    found = fired_twice(nn.Sequential(nn.Identity(), FunctionalDropout()), training=False)
    assert (found.module, found.type, found.kind) == ("1", "FunctionalDropout", "ignores eval")
    assert "between 1.fc1 and 1.fc2" in found.words
    assert "F.dropout" in found.words
    assert "in eval as well" in found.words
    assert found.where == f"{__file__}:{line_of('F.dropout(hidden, 0.5)')}"
    assert "training=self.training" in found.remedy


def test_dropout_inside_attention_and_recurrent_modules() -> None:
    class Attends(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.attention = nn.MultiheadAttention(10, 2, dropout=0.25)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.attention(x, x, x, need_weights=False)[0]

    found = fired_twice(Attends())
    assert (found.module, found.kind) == ("attention", "dropout")
    assert found.words.startswith("attention (MultiheadAttention dropout=0.25) is in train mode")
    found = fired_twice(nn.Sequential(nn.Linear(10, 10), nn.LSTM(10, 4, 2, dropout=0.3)))
    assert (found.module, found.kind) == ("1", "dropout")


class Noise(nn.Module):
    def __init__(self, source: str) -> None:
        super().__init__()
        self.source = source
        self.own = torch.Generator().manual_seed(1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.source == "torch":
            return x + torch.rand_like(x)  # the random line
        if self.source == "python":
            return x + random.random()
        return x + torch.rand(x.shape, generator=self.own)


def test_torchs_generator_is_named_with_operator_and_line() -> None:
    found = fired_twice(nn.Sequential(nn.Linear(10, 4), Noise("torch")))
    assert (found.module, found.kind) == ("1", "random")
    assert "rand_like" in found.words
    assert found.where == f"{__file__}:{line_of('# the random line')}"


@pytest.mark.parametrize(
    ("source", "kind", "words"),
    [
        ("python", "python random", "Python's random"),
        ("own", "private generator", "a generator of its own, 1.own"),
    ],
)
def test_other_generators_are_named(source: str, kind: str, words: str) -> None:
    found = fired_twice(nn.Sequential(nn.Linear(10, 4), Noise(source)))
    assert (found.module, found.kind) == ("1", kind)
    assert words in found.words


class Counting(nn.Module):
    def __init__(self, buffer: bool) -> None:
        super().__init__()
        if buffer:
            self.register_buffer("calls", torch.zeros(()))
        else:
            self.calls = 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        return x + self.calls


@pytest.mark.parametrize(("buffer", "kind"), [(True, "buffer moved"), (False, "hidden state")])
def test_state_between_runs_is_named(buffer: bool, kind: str) -> None:
    found = fired_twice(nn.Sequential(nn.Linear(10, 4), Counting(buffer)))
    assert (found.module, found.kind) == ("1", kind)
    assert "calls" in found.words


def test_a_flag_that_is_neither_dropout_nor_batch_norm() -> None:
    class Doubles(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x * 2 if self.training else x

    bench, runs = bench_with(nn.Sequential(nn.Linear(10, 4), Doubles()))
    fire(runs)
    bench.switch(training=False)
    fire(runs)
    found = part(bench, runs)
    assert (found.module, found.kind) == ("1", "mode")
    assert found.where.startswith(__file__)


def test_a_shared_module_is_found_at_its_second_call() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.noise, self.fc = nn.Dropout(0.5), nn.Linear(10, 10)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.noise(self.fc(self.noise(torch.zeros_like(x))))

    found = fired_twice(Twice())
    assert (found.module, found.call) == ("noise", 1)


def test_a_difference_that_no_replay_shows_is_said_to_be_that() -> None:
    ticks = itertools.count()

    class Clock(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x + min(next(ticks), 1)

    bench, runs = bench_with(Clock())
    fire(runs)
    fire(runs)
    found = part(bench, runs)
    assert (found.replayed, found.module, found.kind) == (False, "", "unknown")
    assert "does not reproduce" in found.words


def test_runs_that_cannot_be_replayed_say_why() -> None:
    bench, runs = bench_with(training=False)
    fire(runs)
    fire(runs)
    assert part(bench, runs).words == "Runs 1 and 2 gave the same bits; nothing parts."
    fire(runs, new_inputs=True)
    assert "different inputs" in part(bench, runs, 3).words
    with torch.no_grad():
        bench.model.fc1.weight.mul_(2)
    fire(runs)
    assert "weights were changed" in part(bench, runs, 4, 3).words
    bench.model = Drop()
    fire(runs)
    assert "loaded again" in part(bench, runs, 5).words
    for run, against in ((2, 2), (9, 1)):
        with pytest.raises(WorkbenchError) as failure:
            part(bench, runs, run, against)
        assert failure.value.failure.kind == "usage"


def test_what_forward_raises_in_a_replay_is_explained_and_everything_is_put_back() -> None:
    class Picky(nn.Module):
        broken = False

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            if Picky.broken:
                raise ValueError("not today")
            return x + torch.rand_like(x)

    bench, runs = bench_with(Picky())
    fire(runs)
    fire(runs)
    before = everything(bench)
    Picky.broken = True
    with pytest.raises(WorkbenchError, match="not today"):
        part(bench, runs)
    assert everything(bench) == before


class Busy(nn.Module):
    """Changes whatever a forward can change."""

    writes = False

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.drop, self.count = nn.BatchNorm1d(10), nn.Dropout(0.2), Counting(True)
        self.frozen = nn.Parameter(torch.randn(10), requires_grad=False)
        self.own = torch.Generator().manual_seed(3)
        self.steps = 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.steps += 1
        self.last = x
        self.drop.train()
        if Busy.writes:
            x.add_(1)
        noise = torch.rand(10, generator=self.own) + random.random()
        return self.count(self.drop(self.norm(x))) * self.frozen + noise


def everything(bench: PlainBench) -> tuple[Any, ...]:
    """Digests of all that a check must not change."""
    model = bench.model
    generators = Generators.take()
    return (
        flags(model),
        digest(flatten(dict(model.named_parameters()))),
        digest(flatten(dict(model.named_buffers()))),
        digest(flatten(bench.args)),
        digest(flatten(generators.cpu)),
        generators.python,
        [parameter.requires_grad for parameter in model.parameters()],
        [(id(tensor), tensor._version) for tensor in (*model.parameters(), *model.buffers())],
        held_by(model),
        [len(module._forward_hooks) + len(module._forward_pre_hooks) for module in model.modules()],
        torch.is_grad_enabled(),
        torch.get_num_threads(),
    )


def test_nothing_is_changed_by_looking() -> None:
    bench, runs = bench_with(Busy())
    fire(runs)
    bench.switch(training=False, grad="no_grad")
    fire(runs)
    before = everything(bench)
    Busy.writes = True
    found = part(bench, runs)
    Busy.writes = False
    assert found.module
    assert everything(bench) == before


def test_what_was_found_stands_in_the_row_from_then_on() -> None:
    bench, runs = bench_with()
    fire(runs)
    fire(runs)
    sent = Sent()
    find(bench, runs, FindDivergence(2, 1), sent.job)  # type: ignore[arg-type]
    (row,) = sent.of(RunRow)
    assert (row.run, row.cause) == (2, "drop: dropout")
