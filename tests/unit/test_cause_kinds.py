"""Every kind of cause, each with a model that has it: the module, the kind, the operator and the user's own line."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from tests.unit import cause_models as models
from tests.unit.model_state import held_by
from tests.unit.run_bench import Sent, bench_with, fire
from workbench.protocol.messages import FindDivergence
from workbench.protocol.model import Modes
from workbench.protocol.runs import Divergence
from workbench.worker.bench.modes import flags
from workbench.worker.judge.divergence import find, find_from_here
from workbench.worker.judge.replay import Generators


def guilty_line(kind: type) -> str:
    """file:line of the line of `kind` that is marked."""
    with open(models.__file__, encoding="utf-8") as stream:
        inside = False
        for number, line in enumerate(stream, 1):
            if line.startswith("class "):
                inside = line.startswith((f"class {kind.__name__}(", f"class {kind.__name__}:"))
            if inside and "# guilty" in line:
                return f"{models.__file__}:{number}"
    raise AssertionError(f"no line of {kind.__name__} is marked")


def of_two_runs(model: nn.Module, **modes: Any) -> Divergence:
    bench, runs = bench_with(model, training=False, grad="no_grad", **modes)
    fire(runs)
    fire(runs)
    return find(bench, runs, FindDivergence(2, 1), Sent().job)  # type: ignore[arg-type]


def from_here(model: nn.Module) -> Divergence | None:
    torch.manual_seed(0)
    x = torch.randn(4, 10)
    modes = Modes(training=False, grad="no_grad")
    model.eval()
    return find_from_here(model, modes, [((x,), {}), ((x,), {})], Sent().job)


FAULTS = (
    (models.FunctionalDropout, "ignores eval", "aten.bernoulli_", "F.dropout"),
    (models.FunctionalAlphaDropout, "ignores eval", "", "F.alpha_dropout"),
    (models.OwnMask, "ignores eval", "aten.bernoulli", "aten.bernoulli"),
    (models.TorchNoise, "random", "aten.randn_like", "torch's generator"),
    (models.PythonRandom, "python random", "aten.mul", "Python's random"),
    (models.NumpyRandom, "numpy random", "", "numpy.random"),
    (models.TorchGenerator, "private generator", "aten.rand", "part.own"),
    (models.GlobalTorchGenerator, "private generator", "aten.rand", "OWN (cause_models.py)"),
    (models.PythonGenerator, "private generator", "aten.mul", "part.dice"),
    (models.GlobalPythonGenerator, "private generator", "aten.mul", "DICE (cause_models.py)"),
    (models.NumpyGenerator, "private generator", "aten.mul", "part.rng"),
    (models.BufferCounter, "buffer moved", "aten.add_", "calls"),
    (models.Counter, "hidden state", "aten.add", "part.calls (0 → 1)"),
    (models.ListCache, "hidden state", "", "part.history (0 → 1 items)"),
    (models.DictCache, "hidden state", "aten.add", "part.cache (0 → 1 items)"),
    (models.Rebound, "hidden state", "", "part.state"),
    (models.TensorInPlace, "hidden state", "aten.add_", "part.total"),
    (models.ClassVariable, "hidden state", "aten.add", "ClassVariable.calls"),
    (models.GlobalVariable, "hidden state", "aten.add", "CALLS (cause_models.py)"),
    (models.GlobalList, "hidden state", "aten.mul", "SEEN (cause_models.py)"),
    (models.InObject, "hidden state", "aten.sub", "part.memory.steps (0 → 1)"),
    (models.AnotherWay, "hidden state", "aten.tanh", "part.odd"),
    (models.WeightsMoved, "weights changed", "aten.mul", "part.scale"),
    (models.Clock, "clock", "aten.mul", "time.perf_counter"),
    (models.Entropy, "entropy", "aten.mul", "os.urandom"),
)


@pytest.mark.parametrize("start", ["two runs", "from here"])
@pytest.mark.parametrize(("fault", "kind", "operator", "words"), FAULTS, ids=lambda one: getattr(one, "__name__", ""))
def test_each_fault_is_named_with_module_operator_and_line(
    fault: type[nn.Module], kind: str, operator: str, words: str, start: str
) -> None:
    models.CALLS, models.ClassVariable.calls = 0, 0
    models.SEEN.clear()
    torch.manual_seed(1)
    model = models.Whole(fault)
    found = of_two_runs(model) if start == "two runs" else from_here(model)
    assert found is not None
    assert (found.module, found.type, found.kind, found.replayed) == ("part", fault.__name__, kind, True), found
    told = "\n".join((found.words, *found.evidence))
    stable = words if start == "from here" else words.partition(" (0 → 1")[0]
    assert stable in told
    assert found.where == guilty_line(fault), told
    if operator:
        assert found.operator == operator, told
    assert found.evidence[0].startswith("part, call 1: the same inputs in runs 1 and 2, another output")


@pytest.mark.parametrize("make", [lambda: models.Whole(models.Restless), models.Norms], ids=["Restless", "Norms"])
def test_healthy_models_are_not_blamed(make: Callable[[], nn.Module]) -> None:
    torch.manual_seed(1)
    assert from_here(make()) is None
    found = of_two_runs(make())
    assert (found.module, found.kind, found.replayed) == ("", "unknown", False)
    assert found.words == "Runs 1 and 2 gave the same bits; nothing parts."


def test_a_cause_is_found_with_other_inputs_in_between() -> None:
    torch.manual_seed(1)
    model = models.Whole(models.ListCache).eval()
    x, other = torch.randn(4, 10), torch.randn(4, 10)
    calls = [((x,), {}), ((other,), {}), ((x,), {})]
    found = find_from_here(model, Modes(grad="no_grad"), calls, Sent().job)
    assert found is not None
    assert (found.module, found.kind, found.run, found.against) == ("part", "hidden state", 3, 1)


def test_a_value_that_was_set_once_is_named_though_no_replay_shows_it() -> None:
    found = of_two_runs(models.Whole(models.FirstTime))
    assert (found.module, found.kind, found.replayed) == ("part", "hidden state", False)
    assert "part.cache (None in run 1, a tensor [] in run 2)" in found.words
    shown = from_here(models.Whole(models.FirstTime))
    assert shown is not None
    assert (shown.module, shown.kind, shown.where) == ("part", "hidden state", guilty_line(models.FirstTime))


def test_state_that_cannot_be_looked_into_is_no_kernel() -> None:
    found = of_two_runs(models.Whole(models.Ticking))
    assert (found.module, found.kind, found.operator) == ("part", "hidden state", "aten.mul")
    assert "cannot be looked into" in found.words
    assert found.where == guilty_line(models.Ticking)


def test_who_writes_into_its_input_is_named() -> None:
    found = of_two_runs(models.WritesInput())
    assert (found.module, found.type, found.kind, found.operator) == ("first", "Scaling", "input mutated", "aten.mul_")
    assert found.where == guilty_line(models.Scaling)
    assert "writes into input 0 in place: aten.mul_" in found.words


def test_a_write_into_a_tensor_within_a_dict_is_seen() -> None:
    _, runs = bench_with(models.WritesIntoDict(), {"x": torch.randn(4, 10)}, grad="no_grad", rng="fixed")
    fire(runs)
    fire(runs)
    assert runs.rows[2].cause == "inputs changed in place"


def test_who_writes_into_its_weights_is_named() -> None:
    found = of_two_runs(models.WritesWeights())
    assert (found.kind, found.operator) == ("weights changed", "aten.mul_")
    assert found.where == guilty_line(models.WritesWeights)
    assert "writes into first.weight" in found.words


def test_a_path_that_only_grad_mode_opens() -> None:
    bench, runs = bench_with(nn.Sequential(nn.Linear(10, 4), models.GradBranch()), training=False)
    fire(runs)
    bench.switch(grad="no_grad")
    fire(runs)
    found = find(bench, runs, FindDivergence(2, 1), Sent().job)  # type: ignore[arg-type]
    assert (found.module, found.kind, found.operator) == ("1", "mode", "aten.mul")
    assert found.where == guilty_line(models.GradBranch)
    assert "another path under no_grad than under grad" in found.words


def test_the_fast_path_of_transformer_layers_is_named() -> None:
    layer = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True)
    bench, runs = bench_with(nn.Sequential(nn.Linear(10, 16), layer), torch.randn(3, 7, 10), training=False)
    fire(runs)
    bench.switch(grad="no_grad")
    if fire(runs).mark == "identical":
        pytest.skip("both paths give the same bits here")
    found = find(bench, runs, FindDivergence(2, 1), Sent().job)  # type: ignore[arg-type]
    assert (found.module, found.kind) == ("1", "fast path")
    assert found.operator == "aten._transformer_encoder_layer_fwd"


def test_a_sum_in_another_order_with_another_number_of_threads() -> None:
    before = torch.get_num_threads()
    bench, runs = bench_with(nn.Sequential(nn.Linear(10, 4), models.LongSum()), training=False)
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            bench.switch(threads=threads)
            fire(runs)
        if runs.row(2).judged.mark == "identical":
            pytest.skip("the sum has the same bits with one and with two threads here")
        found = find(bench, runs, FindDivergence(2, 1), Sent().job)  # type: ignore[arg-type]
    finally:
        torch.set_num_threads(before)
    assert (found.module, found.kind, found.operator) == ("1", "threads", "aten.sum")
    assert found.where == guilty_line(models.LongSum)


@torch.library.custom_op("workbench_tests::shaky", mutates_args=())
def shaky(x: torch.Tensor) -> torch.Tensor:
    """In the place of a kernel whose threads race: the same input, another answer."""
    return x * (1 + 1e-3 * next(TICKS))


TICKS = itertools.count()


class Shaky(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return shaky(x)  # type: ignore[no-any-return]  # the shaky line


def test_a_kernel_that_answers_otherwise_each_time() -> None:
    found = of_two_runs(nn.Sequential(nn.Linear(10, 4), Shaky()))
    assert (found.module, found.kind, found.operator) == ("1", "nondeterministic kernel", "workbench_tests.shaky")
    with open(__file__, encoding="utf-8") as stream:
        line = next(number for number, text in enumerate(stream, 1) if "# the shaky line" in text)
    assert found.where == f"{__file__}:{line}"
    assert "from one and the same state it answers differently each time" in found.evidence


@pytest.mark.parametrize("fault", [fault for fault, *_ in FAULTS], ids=lambda one: one.__name__)
def test_nothing_is_changed_by_looking(fault: type[nn.Module]) -> None:
    torch.manual_seed(1)
    model = models.Whole(fault).eval()
    x = torch.randn(4, 10)
    model(x)

    def everything() -> Any:
        states = (models.OWN.get_state().tolist(), models.DICE.getstate(), models.CALLS, list(models.SEEN))
        numpy = Generators.take().numpy
        hooks = [len(one._forward_hooks) + len(one._forward_pre_hooks) for one in model.modules()]
        return (
            held_by(model), flags(model), x.tolist(), states, models.ClassVariable.calls, random.getstate(), hooks,
            torch.get_rng_state().tolist(), numpy[1].tolist(), numpy[2:], torch.is_grad_enabled(),
        )  # fmt: skip

    before = everything()
    found = find_from_here(model, Modes(grad="no_grad"), [((x,), {}), ((x,), {})], Sent().job)
    assert found is not None
    assert everything() == before


def test_a_dropout_whose_own_train_ignores_eval_is_named_with_it() -> None:
    found = of_two_runs(models.Whole(models.StubbornDropout))
    assert (found.module, found.kind) == ("part", "ignores eval")
    line = models.StubbornDropout.train.__code__.co_firstlineno
    assert f"a train() of its own at cause_models.py:{line}" in found.words
    assert found.remedy.startswith("Mend train()")
