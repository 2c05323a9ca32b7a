"""The mode matrix in one process: looks, differences, budgets, cells that raise."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from workbench.protocol.failures import WorkbenchError
from workbench.protocol.matrix import CRASHED, MEASURED, RAISED, SKIPPED, Cell, Matrix, MatrixCell, MeasureMatrix
from workbench.protocol.model import Modes, Recipe
from workbench.worker.job import Cancelled
from workbench.worker.judge.matrix import measure_matrix

from .own_process import told
from .run_bench import Sent

MODELS = Path(__file__).with_name("matrix_models.py")


def recipe(name: str, *inputs: str, **kwargs: Any) -> Recipe:
    return Recipe(f"{MODELS}:{name}", kwargs, inputs=inputs or ("x=float32[8,10]",))


def measure(name: str, *inputs: str, sent: Sent | None = None, **request: Any) -> Matrix:
    wanted = {"compile": False, "rounds": 5, **request}
    kwargs = wanted.pop("kwargs", {})
    return measure_matrix(MeasureMatrix(recipe(name, *inputs, **kwargs), Modes(), **wanted), (sent or Sent()).job)


def cell(matrix: Matrix, training: bool, grad: str, cast: str = "", compiled: bool = False) -> MatrixCell:
    return next(one for one in matrix.cells if one.cell == Cell(training, grad, cast, compiled))


def test_a_plain_model_is_the_same_in_every_mode_and_saves_under_grad_alone():
    sent = Sent()
    matrix = measure("Plain", sent=sent)
    assert [one.status for one in matrix.cells] == [MEASURED] * 6
    assert cell(matrix, False, "no_grad").baseline
    assert {one.mark for one in matrix.cells if not one.baseline} == {"identical"}
    saved = {one.cell.grad: one.saved_bytes for one in matrix.cells}
    # the input (8 × 10) and the hidden layer after relu (8 × 64), in float32
    assert saved == {"no_grad": 0, "inference_mode": 0, "grad": 4 * 8 * (10 + 64)}
    assert all(one.mutated == () for one in matrix.cells)
    assert matrix.yardstick == "float64"
    assert all(one.rounds == 5 and one.ratio > 0 and one.latency for one in matrix.cells)
    assert 0 < matrix.control_low <= matrix.control_high
    assert matrix.cells[matrix.pick].cell.training is False
    assert "identical bits" in matrix.words or "what the others are compared with" in matrix.words
    assert matrix.ended == "done"
    seen = sent.of(Matrix)
    assert len(seen) > 6  # every cell is told as it is done
    assert [sum(one.status == MEASURED for one in known.cells) for known in seen][:2] == [0, 1]


def test_dropout_in_train_mode_is_random_and_named_and_eval_is_recommended():
    matrix = measure("Dropping")
    for one in matrix.cells:
        if one.cell.training:
            assert (one.mark, one.words) == ("", "random: not comparable")
            assert "drop (Dropout)" in one.cause
        elif not one.baseline:
            assert one.mark == "identical"
    assert not matrix.cells[matrix.pick].cell.training


def test_batch_statistics_differ_and_move_buffers():
    matrix = measure("Normed")
    train = cell(matrix, True, "no_grad")
    assert train.mark == "beyond"
    assert "norm (BatchNorm1d)" in train.cause
    assert train.mutated[0] == "buffer norm.running_mean"
    assert cell(matrix, False, "grad").mutated == ()


@pytest.fixture
def compiled_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """torch.compile gives the model itself: its cells are looked at, and nothing is compiled."""
    from workbench.worker.judge import cells, compiling

    monkeypatch.setattr(compiling, "impossible", lambda: ("", ""))
    monkeypatch.setattr(cells, "compiled", lambda model: model)


@pytest.mark.usefixtures("compiled_as_it_is")
def test_timing_moves_nothing_that_later_cells_are_compared_with(monkeypatch: pytest.MonkeyPatch):
    from workbench.worker.judge import matrix as module
    from workbench.worker.judge.matrix_timing import Timing

    moved: list[list[str]] = []
    blocks: list[float] = []

    class Watched(module.Measuring):
        def run(self) -> Matrix:
            model = self._built.model
            before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
            put_back = Timing._put_back

            def watched(timing: Timing) -> None:
                put_back(timing)
                blocks.append(float(model.norm.num_batches_tracked))

            monkeypatch.setattr(Timing, "_put_back", watched)
            found = super().run()
            moved.append([name for name, one in model.state_dict().items() if not torch.equal(one, before[name])])
            return found

    monkeypatch.setattr(module, "Measuring", Watched)
    matrix = measure("Normed", compile=True)
    evals = [one for one in matrix.cells if not one.cell.training and not one.baseline]
    assert len(evals) == 5
    assert {one.mark for one in evals} == {"identical"}
    assert moved == [[]]
    assert set(blocks) == {0.0}  # before every block, in later rounds too
    assert len(blocks) >= 5 * 7 + 5 * 13


def test_a_model_that_is_random_in_eval_gets_no_recommendation():
    matrix = measure("AlwaysRandom")
    assert all(one.words == "random: not comparable" for one in matrix.cells)
    assert matrix.pick == -1
    assert "random" in matrix.words
    assert "aten.rand at matrix_models.py" in cell(matrix, False, "no_grad").cause


def test_another_dtype_is_compared_in_the_baselines_own():
    matrix = measure("Plain", dtypes=("bfloat16", "float64", "float32"))
    assert len(matrix.cells) == 18  # its own dtype is there once
    coarse, fine = cell(matrix, False, "no_grad", "bfloat16"), cell(matrix, False, "no_grad", "float64")
    assert (coarse.dtype, coarse.mark) == ("bfloat16", "beyond")
    assert coarse.words == "within bfloat16's own tolerance"
    assert coarse.cause == "bfloat16 rounds"
    assert (fine.dtype, fine.mark) == ("float64", "noise")
    assert matrix.cells[matrix.pick].dtype == "float32"


def test_integer_inputs_are_not_cast():
    matrix = measure("Tokens", "ids=int64[4,7]{0..99}", dtypes=("bfloat16",))
    assert all(one.status == MEASURED for one in matrix.cells)


def test_a_cell_that_raises_has_its_reason_and_the_others_go_on():
    matrix = measure("Gradient")
    states = {(one.cell.training, one.cell.grad): one.status for one in matrix.cells}
    assert states == {
        (False, "no_grad"): MEASURED, (False, "inference_mode"): RAISED, (False, "grad"): MEASURED,
        (True, "no_grad"): MEASURED, (True, "inference_mode"): RAISED, (True, "grad"): MEASURED,
    }  # fmt: skip
    assert "gradient inside forward" in cell(matrix, False, "inference_mode").reason
    assert matrix.cells[matrix.pick].cell.grad != "inference_mode"


def test_out_of_memory_is_a_cell_with_its_reason():
    matrix = measure("Greedy")
    assert cell(matrix, True, "grad").status == RAISED
    assert "memory" in cell(matrix, True, "grad").reason
    assert cell(matrix, False, "grad").mark == "identical"


def test_what_a_forward_changes_is_named():
    matrix = measure("Counting")
    for one in matrix.cells:
        assert set(one.mutated) == {"input 0", "attribute calls (0 → 1)", "attribute seen (0 → 1 items)"}
    assert matrix.pick == -1  # nothing to serve with that changes its input
    assert matrix.words.startswith("None can be recommended: even eval · no_grad")


def test_where_no_grad_does_not_run_the_next_cell_is_the_baseline():
    matrix = measure("NoEval")
    assert cell(matrix, False, "no_grad").status == RAISED
    assert cell(matrix, False, "inference_mode").baseline
    assert "not this way" in matrix.baseline
    with pytest.raises(WorkbenchError) as caught:
        measure("Never")
    assert "never in eval" in caught.value.failure.message


def test_a_slow_model_fits_its_budget():
    sent = Sent()
    matrix = measure("Slow", kwargs={"seconds": 0.3}, budget=3.0, rounds=0, sent=sent)
    assert matrix.estimate > 1.0
    measured = [one for one in matrix.cells if one.status == MEASURED]
    assert measured
    assert measured[0].baseline
    assert matrix.rounds == 0  # no time for enough of them: nothing is said of speeds
    assert all(not one.ratio and one.latency and one.latency.count == 1 for one in measured)
    tiny = measure("Slow", kwargs={"seconds": 0.3}, budget=0.7, rounds=0)
    assert tiny.ended == "out of time"
    left = [one for one in tiny.cells if one.status == SKIPPED]
    assert left
    assert all("a forward takes" in one.reason and "--timeout" in one.remedy for one in left)


def test_what_a_worker_before_found_is_not_looked_at_again():
    first = measure("Dropping")
    kept = cell(first, True, "inference_mode")
    from dataclasses import replace

    gone = replace(kept, status=CRASHED, reason="the worker died of it")
    former = replace(first, cells=tuple(gone if one is kept else one for one in first.cells))
    sent = Sent()
    again = measure("Dropping", former=former, sent=sent)
    assert cell(again, True, "inference_mode").status == CRASHED
    assert cell(again, True, "grad").words == "random: not comparable"
    assert cell(again, True, "grad").ratio > 0
    assert not any(one.status == "working" and one.cell.training for known in sent.of(Matrix) for one in known.cells)


def test_cancelling_stops_between_forwards():
    sent = Sent()
    emit = sent.job.emit

    def stop(body: Any) -> None:
        emit(body)
        if isinstance(body, Matrix) and sum(one.status == MEASURED for one in body.cells) == 2:
            sent.job.cancel()

    sent.job.emit = stop  # type: ignore[method-assign]
    with pytest.raises(Cancelled):
        measure("Plain", sent=sent)
    assert sum(one.status == MEASURED for one in sent.of(Matrix)[-1].cells) == 2


def big_cells() -> list[list[int]]:
    """[bytes saved, peak] of the eval cells under no_grad and grad."""
    matrix = measure("Big", "x=float32[2048,10]")
    cells = [cell(matrix, False, grad) for grad in ("no_grad", "grad")]
    return [[one.saved_bytes, one.peak_bytes] for one in cells]


def test_peak_and_saved_bytes_are_those_of_the_activations():
    (_, frugal_peak), (saved, peak) = told("test_matrix", "big_cells")
    activation = 2048 * 1024 * 4
    assert saved == pytest.approx(2 * activation, rel=0.02)
    if frugal_peak < 0:
        pytest.skip("this kernel has no mark of the highest resident memory that can be reset")
    # matmul may take a copy for itself, so from above this is generous
    assert 1.9 * activation < frugal_peak < 3.2 * activation
    assert 1.9 * activation < peak < 3.2 * activation


def test_without_a_compiler_compiled_cells_say_so(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PATH", "/nonexistent")
    monkeypatch.delenv("CXX", raising=False)
    from torch._inductor import config, cpp_builder

    monkeypatch.setattr(config.cpp, "cxx", (None, "g++"))
    cpp_builder.cpp_compiler_search.cache_clear()  # another test may have found one
    matrix = measure("Plain", compile=True)
    compiled = [one for one in matrix.cells if one.cell.compiled]
    assert [one.status for one in compiled] == [SKIPPED] * 6
    assert "compiler" in compiled[0].reason
    assert "g++" in compiled[0].remedy
    assert matrix.pick >= 0


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_compiled_cells_are_near_and_say_what_compiling_took():
    matrix = measure("Dropping", compile=True)
    near = cell(matrix, False, "no_grad", compiled=True)
    assert near.mark in ("identical", "noise")
    assert near.compile_seconds > 0.05
    assert (near.graphs, near.breaks) == (1, 0)
    assert cell(matrix, True, "grad", compiled=True).words == "random: not comparable"
    assert cell(matrix, False, "grad", compiled=True).saved_bytes > 0
    assert all(one.ratio > 0 for one in matrix.cells)


def test_nothing_is_asked_of_a_dtype_that_is_none():
    with pytest.raises(WorkbenchError) as caught:
        measure("Plain", dtypes=("int8",))
    assert "int8" in caught.value.failure.message


def test_what_cannot_be_compared_is_said_and_the_rest_is_judged():
    matrix = measure("Spectral")
    served = cell(matrix, False, "inference_mode")
    assert served.mark == "identical"
    assert "not compared: output['other'] (" in served.words
    assert matrix.pick is not None


def test_hidden_state_is_told_of_a_model_that_really_answers_otherwise_from_run_to_run():
    one = cell(measure("Elsewhere"), False, "no_grad")
    assert one.words == "random: not comparable"
    assert "another from run to run" in one.cause
