"""The error of every module call, local against propagated: where it starts, where it grows; and nothing is changed."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import nn

from tests.unit import bench_models, cause_models
from tests.unit.model_state import held_by
from tests.unit.run_bench import PlainBench, Sent, bench_with, fire
from workbench.protocol.cause import CallError, ErrorTable, MeasureErrors
from workbench.protocol.failures import WorkbenchError
from workbench.protocol.messages import Fire, Load, SetModes
from workbench.protocol.model import ModeChange, Recipe
from workbench.worker.bench.bench import Bench
from workbench.worker.judge import errors
from workbench.worker.judge.error_words import told
from workbench.worker.judge.errors import measure
from workbench.worker.judge.leaves import flatten
from workbench.worker.judge.relative import relative_error
from workbench.worker.judge.replay import Generators
from workbench.worker.judge.run import Runs


def errors_of(bench: PlainBench | Bench, runs: Runs, run: int = 2, against: int = 1) -> ErrorTable:
    return measure(bench, runs, MeasureErrors(run, against), Sent().job)  # type: ignore[arg-type]


def by_path(table: ErrorTable) -> dict[str, CallError]:
    return {call.path: call for call in table.calls if call.call == 0}


class Block(nn.Module):
    """A linear layer and what comes after it."""

    def __init__(self, *after: nn.Module) -> None:
        super().__init__()
        self.fc, self.after = nn.Linear(10, 10), nn.Sequential(*after)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.after(self.fc(x))


class Sharp(nn.Module):
    """Makes what it is given grow."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.sinh(8 * (x - x.mean()))


def test_an_error_starts_in_one_module_and_goes_through_the_next() -> None:
    model = nn.Sequential(nn.Linear(10, 10), cause_models.GradBranch(), nn.Linear(10, 10), nn.ReLU(inplace=True))
    bench, runs = bench_with(model, training=False)
    fire(runs)
    bench.switch(grad="no_grad")
    fire(runs)
    table = errors_of(bench, runs)
    rows = by_path(table)
    assert [call.path for call in table.calls] == ["", "0", "1", "2", "3"]
    assert (rows["0"].received, rows["0"].local, rows["0"].answered) == (0.0, 0.0, 0.0)
    assert rows["1"].received == 0.0
    assert rows["1"].local == rows["1"].answered == pytest.approx(0.0005, rel=1e-3)
    for path in ("2", "3"):
        assert rows[path].local == 0.0
        assert rows[path].received > 1e-5
        assert rows[path].answered > 1e-5
    assert rows[""].local == rows[""].answered
    assert table.calls[table.starts].path == "1"
    assert "starts in 1 (GradBranch) at cause_models.py:" in table.words


def test_where_it_grows_most_is_named() -> None:
    model = nn.Sequential(nn.Linear(10, 10), cause_models.GradBranch(), Block(Sharp(), nn.Linear(10, 4)))
    bench, runs = bench_with(model, training=False)
    fire(runs)
    bench.switch(grad="no_grad")
    fire(runs)
    table = errors_of(bench, runs)
    assert table.calls[table.grows].path == "2.after.0"
    assert "grows most in 2.after.0 (Sharp)" in table.words
    assert by_path(table)["2"].inner
    assert [call.depth for call in table.calls] == [0, 1, 1, 1, 2, 2, 3, 3]


def test_dropout_in_train_mode_makes_the_error_itself() -> None:
    bench, runs = bench_with()
    fire(runs)
    fire(runs)
    table = errors_of(bench, runs)
    rows = by_path(table)
    assert table.calls[table.starts].path == "drop"
    assert rows["drop"].local > 0.5
    assert (rows["fc1"].answered, rows["fc2"].local) == (0.0, 0.0)


def test_state_that_moves_from_run_to_run_shows_too() -> None:
    bench, runs = bench_with(cause_models.Whole(cause_models.Counter), training=False)
    fire(runs)
    fire(runs)
    table = errors_of(bench, runs)
    assert table.calls[table.starts].path == "part"
    assert table.notes == ("run 2 begins with the attributes that run 1 leaves",)


def test_two_equal_runs_have_no_error() -> None:
    bench, runs = bench_with(cause_models.Norms(), training=False)
    fire(runs)
    fire(runs)
    table = errors_of(bench, runs)
    assert (table.starts, table.grows) == (-1, -1)
    assert all((call.received, call.local, call.answered) == (0.0, 0.0, 0.0) for call in table.calls), table
    assert table.words == "No module makes an error beyond the noise; the output is off by 0."


def test_other_inputs_are_propagated_and_nobodys_own_error() -> None:
    bench, runs = bench_with(cause_models.Norms(), training=False)
    fire(runs)
    fire(runs, new_inputs=True)
    table = errors_of(bench, runs)
    assert table.starts == -1
    assert table.calls[0].received > 0.5
    assert all(call.local == 0.0 for call in table.calls)
    assert "the inputs differ" in table.words


def real(name: str, *specs: str, file: str = bench_models.__file__) -> tuple[Bench, Runs]:
    bench = Bench()
    recipe = Recipe(f"{file}:{name}", inputs=specs)
    bench.load(Load(recipe, ModeChange(training=False, grad="no_grad")), Sent().job)
    return bench, Runs(bench)


def run(runs: Runs) -> None:
    runs.fire(Fire(1), Sent().job)


def switch(bench: Bench, **change: Any) -> None:
    bench.set_modes(SetModes(ModeChange(**change)), Sent().job)


def test_the_same_model_in_another_dtype() -> None:
    bench, runs = real("Net", "x=float32[4,10]")
    run(runs)
    switch(bench, dtype="bfloat16")
    run(runs)
    before = held_by(bench.model)
    table = errors_of(bench, runs)
    assert held_by(bench.model) == before
    rows = by_path(table)
    assert table.notes == (
        "run 1 was built again from the recipe, and answers with the same bits as it did",
        "own: with what it was given in float32 rounded to bfloat16",
    )
    assert 1e-4 < rows[""].received < 1e-2
    for path in ("fc1", "fc2"):
        assert 1e-4 < rows[path].local < rows[path].limit == 4 * torch.finfo(torch.bfloat16).eps
    assert rows["drop"].local < 1e-2
    assert table.starts == -1
    switch(bench, dtype="float32")
    run(runs)
    assert errors_of(bench, runs, 3).notes[0].startswith("run 1 was built again")
    assert errors_of(bench, runs, 2, 3).calls[0].answered < 0.1


def test_a_model_that_cannot_be_had_again_is_refused_with_the_reason() -> None:
    bench, runs = real("Net", "x=float32[4,10]")
    with torch.no_grad():
        bench.model.fc1.weight.mul_(1.5)
    run(runs)
    switch(bench, dtype="float64")
    run(runs)
    with pytest.raises(WorkbenchError, match="the model answers otherwise than the run did"):
        errors_of(bench, runs)
    plain, plain_runs = bench_with()
    fire(plain_runs)
    for wanted in ((1, 1), (9, 1)):
        with pytest.raises(WorkbenchError) as failure:
            errors_of(plain, plain_runs, *wanted)
        assert failure.value.failure.kind == "usage"


def test_little_memory_means_more_passes_and_the_same_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    bench, runs = bench_with()
    fire(runs)
    fire(runs)
    whole = errors_of(bench, runs)
    monkeypatch.setattr(errors, "COPIES", 1500)
    assert errors_of(bench, runs) == whole
    monkeypatch.setattr(errors, "COPIES", 600)
    parts = errors_of(bench, runs)
    assert {call.note for call in parts.calls} >= {"too large to be held"}


@pytest.mark.parametrize("training", [True, False])
def test_nothing_is_changed_by_measuring(training: bool) -> None:
    model = nn.Sequential(cause_models.Whole(cause_models.Restless), nn.BatchNorm1d(5), nn.Dropout(0.2))
    bench, runs = bench_with(model, training=training)
    fire(runs)
    fire(runs)
    states = Generators.take()
    before = held_by(model), [id(one) for one in model.buffers()], bench.args[0].tolist()
    errors_of(bench, runs)
    assert (held_by(model), [id(one) for one in model.buffers()], bench.args[0].tolist()) == before
    assert states.moved(Generators.take()) == ()


def test_relative_errors() -> None:
    a = torch.tensor([3.0, 4.0])
    one = flatten(a)
    assert relative_error(one, flatten(a)) == 0.0
    assert relative_error(one, flatten(a + 0.1)) == pytest.approx(math.sqrt(2 * 0.01) / 5, rel=1e-5)
    assert relative_error(one, flatten(torch.tensor([3.0, math.nan]))) == math.inf
    nan = torch.tensor([math.nan, 1.0])
    assert relative_error(flatten(nan), flatten(nan.clone())) == 0.0
    assert math.isnan(relative_error(one, flatten(torch.zeros(3))))
    assert math.isnan(relative_error(one, flatten([a, a])))
    assert relative_error(flatten(torch.zeros(3)), flatten(torch.ones(3))) == math.inf
    large = torch.randn(3, 1500, 700)
    other = large + 1e-3 * torch.randn_like(large)
    wanted = float((other.double() - large.double()).norm() / large.double().norm())
    assert relative_error(flatten(large), flatten(other)) == pytest.approx(wanted, rel=1e-9)
    assert relative_error(flatten(large), flatten(other.bfloat16())) > wanted
    ids = torch.tensor([1, 2, 3])
    assert relative_error(flatten(ids), flatten(ids)) == 0.0


def test_a_block_is_not_blamed_for_what_its_modules_do() -> None:
    def call(path: str, depth: int, local: float, inner: bool = False) -> CallError:
        return CallError(path, 0, "Block", depth, 0.0, local, local, 1e-6, inner=inner)

    calls = [
        call("", 0, 1.0, True),
        call("a", 1, 0.0),
        call("b", 1, 1.0, True),
        call("b.x", 2, 0.0),
        call("b.y", 2, 1.0),
    ]
    assert told(calls)[0] == 4
    assert told([*calls[:3], call("b.x", 2, 0.0)])[0] == 2


def test_leaves_of_truth_and_of_vast_numbers_have_an_error_too() -> None:
    truth = flatten(torch.tensor([True, False, True]))
    assert 0 < relative_error(truth, flatten(torch.tensor([True, True, True]))) < math.inf
    wide = flatten(torch.full((3,), 1e200, dtype=torch.float64))
    assert relative_error(wide, flatten(torch.full((3,), 1.5e200, dtype=torch.float64))) > 0


def test_what_our_own_hooks_raise_is_not_blamed_on_the_model(monkeypatch: pytest.MonkeyPatch) -> None:
    bench, runs = bench_with()
    fire(runs)
    fire(runs)

    def broken(*given: Any) -> float:
        raise ZeroDivisionError("ours")

    monkeypatch.setattr(errors, "relative_error", broken)
    with pytest.raises(ZeroDivisionError, match="ours"):
        errors_of(bench, runs)


class Rounded(nn.Module):
    """Answers in float8, as quantised activations do."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(10, 10)
        self.drop = nn.Dropout(0.5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.drop(self.fc(x)).to(torch.float8_e4m3fn)


def test_answers_in_float8_have_an_error_too() -> None:
    bench, runs = bench_with(Rounded())
    fire(runs)
    fire(runs)
    root = by_path(errors_of(bench, runs))[""]
    assert 0.1 < root.answered < 10
    assert not root.note


def test_a_block_may_round_as_often_as_its_modules_do() -> None:
    def call(path: str, depth: int, inner: bool) -> CallError:
        return CallError(path, 0, "M", depth, 0.0, 0.0, 0.0, 1.0, inner=inner)

    rows = [call("", 0, True), *(call(str(place), 1, False) for place in range(8))]
    limits = [row.limit for row in errors._with_limits(rows)]
    assert limits == [3.0, *[1.0] * 8]  # √(1 + 8)
