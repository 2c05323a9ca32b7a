"""Firing, rows, the reference, the yardstick and kept outputs, on a bench of plain parts."""

from __future__ import annotations

import time
from typing import Any

import pytest
import torch
from torch import nn

from tests.unit.run_bench import Sent, bench_with, fire
from workbench.protocol.failures import WorkbenchError
from workbench.protocol.messages import Fire, GetDiff, SetReference, SetYardstick, YardstickNow
from workbench.protocol.runs import IDENTICAL, INCOMPARABLE, LeafNoise, RunRow, Yardstick
from workbench.worker.job import Cancelled
from workbench.worker.judge.rows import DEFAULT_YARDSTICK


def test_the_story_train_differs_eval_repeats_and_no_grad_drops_the_graph() -> None:
    bench, runs = bench_with()
    first = fire(runs)
    assert (first.run, first.reference, first.mark, first.against) == (1, True, "", 0)
    assert first.training == "train"
    assert first.saved_bytes > 0
    second = fire(runs)
    assert second.mark == "beyond"
    assert second.max_abs > 0
    assert second.cause == "drop (train)"
    assert (second.differing, second.compared, second.elements) == (1, 1, 20)
    bench.switch(training=False)
    third = fire(runs)
    assert third.cause == "reference: drop (train)"
    runs.set_reference(SetReference(3), Sent().job)
    bench.switch(grad="no_grad")
    fourth = fire(runs)
    assert (fourth.mark, fourth.max_abs, fourth.saved_bytes, fourth.cause) == ("identical", 0.0, 0, "")
    assert (fourth.training, fourth.grad, fourth.against) == ("eval", "no_grad", 3)


def test_answers_that_repeat_are_seen_beside_a_reference_they_differ_from() -> None:
    bench, runs = bench_with()
    assert [fire(runs).same_as for _ in range(3)] == [0, 0, 0]
    bench.switch(training=False)
    assert fire(runs).same_as == 0
    again = fire(runs)
    assert (again.mark, again.against, again.same_as) == ("beyond", 1, 4)
    assert fire(runs).same_as == 5


def test_fixed_generators_repeat_the_run() -> None:
    _, runs = bench_with(rng="fixed", seed=7)
    fire(runs)
    assert fire(runs).mark == "identical"
    repeat = fire(runs, 50)
    assert repeat.mark == "identical"
    assert repeat.differing == 0
    assert repeat.compared >= 2


def test_a_repeat_is_one_row_that_ends_with_statistics() -> None:
    _, runs = bench_with()
    row = fire(runs, 200)
    assert (row.run, row.count, row.running, row.latency.count) == (1, 200, False, 200)
    times = row.latency
    assert 0 < times.minimum <= times.median <= times.p90 <= times.p99
    assert times.per_second > 100
    assert times.iqr >= 0
    assert row.reference
    assert row.against == 1
    assert row.mark == "beyond"
    assert row.cause == "drop (train)"
    assert row.compared >= 1
    assert row.differing == row.compared
    assert runs.rows.keys() == {1}


def test_a_long_repeat_reports_at_most_ten_times_a_second_and_stops_when_cancelled() -> None:
    bench, runs = bench_with(training=False, grad="no_grad")
    sent = Sent()
    began = time.monotonic()

    class Stop(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            if sent.of(RunRow) and time.monotonic() - began > 0.6:
                sent.job.cancel()
            return x + 1

    bench.model = Stop()
    row = runs.fire(Fire(0), sent.job)
    reports = sent.of(RunRow)
    assert 2 <= len(reports) <= 10 * (time.monotonic() - began) + 2
    assert [one.running for one in reports] == [True] * (len(reports) - 1) + [False]
    assert [one.count for one in reports] == sorted(one.count for one in reports)
    assert row == reports[-1]
    assert row.count > len(reports)  # many forwards a report
    assert row.mark == "identical"


def test_an_interrupt_ends_a_repeat_with_what_it_has_and_a_first_run_with_nothing() -> None:
    sent = Sent()
    calls = []

    class Interrupted(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            calls.append(1)
            if len(calls) == 6:
                sent.job.cancel()
                raise KeyboardInterrupt
            return x

    _, runs = bench_with(Interrupted())
    row = runs.fire(Fire(0), sent.job)
    assert (row.count, row.running) == (5, False)
    calls[:] = [1] * 5
    with pytest.raises((KeyboardInterrupt, Cancelled)):
        runs.fire(Fire(1), sent.job)
    assert runs.rows.keys() == {1}


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("problem", [MemoryError, KeyboardInterrupt])
def test_a_first_run_that_could_not_be_kept_is_no_reference(
    monkeypatch: pytest.MonkeyPatch, problem: type[BaseException], when: str
) -> None:
    _, runs = bench_with(training=False)
    pin = runs.store.pin

    def failing(*args: Any) -> None:
        monkeypatch.undo()
        if when == "after":
            pin(*args)
        raise problem

    monkeypatch.setattr(runs.store, "put" if when == "before" else "pin", failing)
    with pytest.raises(problem):
        fire(runs)
    assert (runs.reference, runs.rows) == (0, {})
    assert fire(runs).reference
    assert fire(runs).mark == "identical"


FLOAT64 = Yardstick("float64", {"output": LeafNoise(1e-7, 1e-7, 2.0**-23, 16)})


@pytest.mark.parametrize("yardstick", [FLOAT64, Yardstick("tolerance", reason="it downcasts"), Yardstick("given")])
@pytest.mark.parametrize("what", ["another model", "another dtype and back", "another mode"])
def test_a_yardstick_goes_with_the_model_dtype_and_device_it_was_measured_of(yardstick: Yardstick, what: str) -> None:
    bench, runs = bench_with(training=False)
    sent = Sent()
    runs.set_yardstick(SetYardstick(yardstick), sent.job)
    if what == "another model":
        bench.model = nn.Linear(10, 5)
        runs.settle(sent.job)
    elif what == "another dtype and back":
        for dtype in ("float64", ""):
            bench.switch(dtype=dtype)
            runs.settle(sent.job)
    else:
        bench.switch(training=True, grad="no_grad", threads=1)
        runs.settle(sent.job)
    kept = what == "another mode" or yardstick.kind == "given"
    assert runs.yardstick == (yardstick if kept else DEFAULT_YARDSTICK)
    told = [now.kind for now in sent.of(YardstickNow)]
    assert told == ([] if yardstick.kind == "tolerance" else [yardstick.kind, *["tolerance"] * (not kept)])


def test_new_inputs_are_a_cause() -> None:
    bench, runs = bench_with(training=False)
    fire(runs)
    row = fire(runs, new_inputs=True)
    assert bench.drawn == 1
    assert row.cause == "other inputs"
    assert fire(runs).cause == "other inputs"
    assert row.mark == INCOMPARABLE, "other inputs say nothing about the model"
    assert row.max_abs > 0
    difference = runs.diff(GetDiff(2), Sent().job)
    assert {difference.mark, *(leaf.mark for leaf in difference.leaves)} == {INCOMPARABLE}
    job = Sent()
    runs.set_yardstick(SetYardstick(Yardstick("given", tolerance=1e-6)), job.job)
    assert [one.mark for one in job.of(RunRow)] == ["", INCOMPARABLE, INCOMPARABLE]
    runs.set_reference(SetReference(2), job.job)
    assert [one.mark for one in job.of(RunRow)][3:] == [INCOMPARABLE, "", IDENTICAL]


def test_inputs_made_anew_with_the_same_values_are_no_cause() -> None:
    bench, runs = bench_with()
    fire(runs)
    bench.args = tuple(value.clone() for value in bench.args)
    assert fire(runs).cause == "drop (train)"


def test_of_several_modules_in_train_the_first_is_named() -> None:
    _, runs = bench_with(nn.Sequential(nn.Dropout(), nn.Dropout()))
    fire(runs)
    assert fire(runs).cause == "0 +1 (train)"


def test_batch_norm_in_train_moves_buffers_that_eval_then_uses() -> None:
    bench, runs = bench_with(nn.Sequential(nn.BatchNorm1d(10)), training=False)
    fire(runs)
    bench.switch(training=True)
    assert fire(runs).cause == "0 (train)"
    bench.switch(training=False)
    assert fire(runs).cause == "buffers moved"


def test_weights_that_changed_are_a_cause() -> None:
    bench, runs = bench_with(training=False)
    fire(runs)
    with torch.no_grad():
        bench.model.fc2.bias.add_(1.0)
    assert fire(runs).cause == "weights changed"


def test_a_generator_used_outside_of_dropout_is_a_cause() -> None:
    class Noisy(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x + torch.rand_like(x)

    _, runs = bench_with(Noisy())
    fire(runs)
    assert fire(runs).cause == "random"


def test_diff_in_full_and_its_failures() -> None:
    _, runs = bench_with()
    fire(runs)
    fire(runs)
    diff = runs.diff(GetDiff(2), Sent().job)
    assert (diff.run, diff.against, diff.mark, diff.structure) == (2, 1, "beyond", "")
    assert diff.leaves[0].path == "output"
    assert diff.leaves[0].max_abs == runs.rows[2].judged.max_abs
    assert runs.diff(GetDiff(2, 2), Sent().job).mark == "identical"
    with pytest.raises(WorkbenchError) as failure:
        runs.diff(GetDiff(9), Sent().job)
    assert failure.value.failure.kind == "usage"
    runs.store.drop(2)
    with pytest.raises(WorkbenchError, match="Run 2 is no longer kept"):
        runs.diff(GetDiff(2), Sent().job)


def test_reference_and_yardstick_judge_again_and_send_every_row() -> None:
    bench, runs = bench_with()
    fire(runs)
    fire(runs)
    bench.switch(training=False)
    fire(runs)
    sent = Sent()
    runs.set_reference(SetReference(2), sent.job)
    assert [(row.run, row.reference, row.mark) for row in sent.of(RunRow)] == [
        (1, False, "beyond"),
        (2, True, ""),
        (3, False, "beyond"),
    ]
    sent = Sent()
    runs.set_yardstick(SetYardstick(Yardstick("given", tolerance=1e6)), sent.job)
    assert [row.mark for row in sent.of(RunRow)] == ["noise", "", "noise"]
    assert runs.diff(GetDiff(1), Sent().job).yardstick == "given"


@pytest.mark.parametrize("output", [None, 3, "text", {"a": None}])
def test_no_tensor_is_a_failure_and_no_row(output: Any) -> None:
    class Nothing(nn.Module):
        def forward(self, x: torch.Tensor) -> Any:
            return output

    _, runs = bench_with(Nothing())
    with pytest.raises(WorkbenchError, match="the model returned no tensor") as failure:
        fire(runs)
    assert failure.value.failure.kind == "forward"
    assert not runs.rows


def test_an_output_too_large_is_not_copied(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workbench.worker.judge.look.LARGEST_OUTPUT", 64)
    _, runs = bench_with()
    first = fire(runs)
    assert "not copied" in first.note
    assert runs.store.bytes_in_memory == 0
    assert fire(runs).mark == "incomparable"
    with pytest.raises(WorkbenchError):
        runs.diff(GetDiff(2), Sent().job)


@pytest.mark.parametrize("grad", ["grad", "no_grad", "inference_mode"])
def test_every_grad_mode_is_in_force_in_every_run(grad: str) -> None:
    seen = set()

    class Look(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            seen.add((torch.is_grad_enabled(), torch.is_inference_mode_enabled()))
            return x * 2

    _, runs = bench_with(Look(), grad=grad)
    fire(runs, 30)
    assert seen == {(grad == "grad", grad == "inference_mode")}
    assert torch.is_grad_enabled()
    assert not torch.is_inference_mode_enabled()
    assert not runs.reference_output().leaves[0][1].is_inference()


def test_what_forward_raises_is_explained_and_the_rows_before_it_stay() -> None:
    calls = []

    class Breaks(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            calls.append(1)
            if len(calls) in (5, 6):
                raise ValueError("the fifth")
            return x

    bench, runs = bench_with(Breaks())
    sent = Sent()
    with pytest.raises(WorkbenchError, match="the fifth") as failure:
        runs.fire(Fire(10), sent.job)
    assert failure.value.failure.kind == "forward"
    assert failure.value.failure.where.startswith(__file__)
    (row,) = sent.of(RunRow)
    assert (row.run, row.count, row.running) == (1, 4, False)
    with pytest.raises(WorkbenchError):
        fire(runs)  # nothing came back: no row
    assert runs.rows.keys() == {1}
    assert fire(runs).run == 2
    assert torch.is_grad_enabled()
    assert bench.args[0].shape == (4, 10)


def test_an_output_that_changes_its_tree_or_shape_differs() -> None:
    calls = []

    class Grows(nn.Module):
        def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
            calls.append(1)
            return {"a": x} if len(calls) < 2 else {"a": x, "b": x}

    _, runs = bench_with(Grows())
    fire(runs)
    row = fire(runs)
    assert row.mark == "beyond"
    assert "structure" in row.note


def test_identical_nan_is_named_beside_the_mark() -> None:
    class Nan(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.where(x > 0, x, torch.nan)

    runs, sent = bench_with(Nan(), torch.tensor([1.0, -1.0]))[1], Sent()
    rows = [runs.fire(Fire(), sent.job) for _ in range(2)]
    assert rows[1].mark == "identical"
    assert all("output: 1 of 2 elements is NaN or infinite" in row.note for row in rows)


def test_a_first_call_that_takes_long_is_named() -> None:
    calls = []

    class Warms(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            calls.append(1)
            time.sleep(0.1 if len(calls) == 1 else 0.001)
            return x

    _, runs = bench_with(Warms())
    assert "first call" in fire(runs, 15).note


def test_a_short_repeat_looks_at_every_output() -> None:
    class Seventh(nn.Module):
        n = 0

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            self.n += 1
            return x * 1.01 if self.n % 7 == 0 else x

    _, runs = bench_with(Seventh(), torch.ones(4))
    fire(runs)
    row = fire(runs, 19)
    assert (row.compared, row.differing, row.mark) == (19, 2, "beyond")


class Ring(nn.Module):
    """A graph network whose adjacency is a sparse buffer that a declared mutation may move."""

    def __init__(self, moves: bool = False) -> None:
        super().__init__()
        self.fc, self.moves = nn.Linear(6, 4), moves
        self.register_buffer("adjacency", torch.eye(5).to_sparse())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        answer = torch.sparse.mm(self.adjacency, self.fc(x))
        if self.moves:
            self.adjacency = (self.adjacency * 1.5).coalesce()
        return answer


def test_a_sparse_buffer_is_recorded_like_any_other() -> None:
    _, runs = bench_with(Ring(), torch.randn(5, 6), training=False)
    assert [fire(runs).mark for _ in range(3)] == ["", "identical", "identical"]
    _, runs = bench_with(Ring(moves=True), torch.randn(5, 6), training=False)
    fire(runs)
    row = fire(runs)
    assert (row.mark, row.cause) == ("beyond", "buffers moved")


def test_the_run_of_a_repeat_that_answers_another_tree_is_the_one_to_show() -> None:
    class Late(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc, self.count = nn.Linear(6, 4), 0

        def forward(self, x: torch.Tensor) -> Any:
            self.count += 1
            return self.fc(x) * (1 + 1e-7 * (self.count % 2)), "late" if self.count == 4 else "early"

    _, runs = bench_with(Late(), torch.randn(5, 6), training=False)
    fire(runs)
    row = fire(runs, 9)
    assert row.mark == "beyond"
    assert "structure" in row.note
