"""Every check: passes on the healthy, fails on its own fault with the cause named, and changes nothing."""

from __future__ import annotations

import gc
import random
from typing import Any

import pytest
import torch

from tests.unit import check_faults, check_models
from tests.unit.model_state import held_by
from workbench.protocol.artifacts import BASELINE, CHECK_IDS, LATENCY, CheckRow
from workbench.protocol.failures import WorkbenchError
from workbench.protocol.messages import Check, Load
from workbench.protocol.model import ModeChange, Recipe
from workbench.worker.bench.bench import Bench
from workbench.worker.job import Cancelled, Job
from workbench.worker.judge import held
from workbench.worker.judge.checks import CHECKS, check
from workbench.worker.judge.held import Snapshot
from workbench.worker.judge.run import Runs
from workbench.worker.judge.snapshot import untouched


def job() -> Job:
    return Job(1, lambda body, number: None)


def bench(name: str, training: bool = False, grad: str = "no_grad", spec: str = "x=float32[5,6]") -> Bench:
    found = Bench()
    recipe = Recipe(f"{check_models.__file__}:{name}", inputs=(spec,))
    found.load(Load(recipe, ModeChange(training=training, grad=grad)), job())
    return found


def bench_of_faults(name: str) -> Bench:
    found = Bench()
    recipe = Recipe(f"{check_faults.__file__}:{name}", inputs=("x=float32[5,6]",))
    found.load(Load(recipe, ModeChange(training=False, grad="no_grad")), job())
    return found


def ask(on: Bench, question: str, budget: float = 20.0) -> CheckRow:
    return check(on, Runs(on), Check(question, budget), job())


def test_every_id_of_the_protocol_has_its_check() -> None:
    assert tuple(CHECKS) == (*CHECK_IDS, LATENCY, BASELINE)


@pytest.mark.parametrize("question", CHECK_IDS)
@pytest.mark.parametrize("grad", ["no_grad", "inference_mode", "grad"])
def test_a_healthy_model_passes(question: str, grad: str) -> None:
    row = ask(bench("Healthy", grad=grad), question)
    assert (row.id, row.status) == (question, "pass"), row
    assert row.evidence
    assert (row.cause, row.remedy) == ("", "")


@pytest.mark.parametrize(
    ("name", "question", "words"),
    [
        (
            "FunctionalDropout",
            "repeatable",
            "First to differ: the model itself (FunctionalDropout) at check_models.py:",
        ),
        ("FunctionalDropout", "randomness", "First draw in aten.bernoulli_ at check_models.py:"),
        ("PythonRandom", "randomness", "Python's random"),
        ("PythonRandom", "repeatable", "draws from Python's random each run"),
        ("Counting", "repeatable", "buffer moved. The model, after linear, changes its own buffer count"),
        ("Counting", "buffers", "count"),
        ("Rebinding", "buffers", "count (rebound)"),
        ("Overflowing", "finite", "First: the model itself (Overflowing)"),
        ("Coupled", "batch_rows", "The rows meet in aten.mean at check_models.py:"),
        ("Graphic", "graph_free", "First in the model itself (Graphic)"),
        ("Hoarding", "memory_flat", "seen (list, 0 → 42 items)"),
        ("GlobalHoard", "memory_flat", "KEPT (check_models.py) (list, 0 → "),
        ("Forgetful", "reload", "Not in the state_dict, and different in a fresh model: shift"),
    ],
)
def test_each_fault_fails_its_check_with_the_cause(name: str, question: str, words: str) -> None:
    row = ask(bench(name), question)
    assert row.status == "fail", row
    assert words in f"{row.evidence} {row.cause}", row
    assert row.remedy
    check_models.KEPT.clear()


@pytest.mark.parametrize(
    ("question", "words"),
    [
        ("modes", "drop (Dropout): dropout"),
        ("repeatable", "First to differ: drop (Dropout) at check_models.py:"),
        ("randomness", "In train mode: drop (Dropout)"),
        ("buffers", "norm in train mode"),
        ("batch_rows", "norm (BatchNorm1d)"),
    ],
)
def test_train_mode_is_named_as_the_cause(question: str, words: str) -> None:
    row = ask(bench("Healthy", training=True), question)
    assert (row.status, words in row.cause) == ("fail", True), row
    assert "--mode" in row.remedy


def test_one_training_module_is_found() -> None:
    on = bench("Healthy")
    on.model.get_submodule("drop").train()
    row = ask(on, "modes")
    assert "1 of 5 modules are in train mode: drop (Dropout)" in row.evidence
    assert "--mode drop=eval" in row.remedy


@pytest.mark.parametrize("question", CHECK_IDS)
def test_a_forward_that_raises_is_an_error_with_its_place(question: str) -> None:
    row = ask(bench("Raising"), question)
    if question in ("modes", "parameters_finite"):
        assert row.status == "pass"
    else:
        assert row.status == "error", row
        assert "check_models.py" in row.cause
        assert row.evidence


def test_raising_late_leaving_and_answering_nothing() -> None:
    row = ask(bench("SecondTime"), "repeatable")
    assert (row.status, row.evidence.startswith("It answers 1 run, and raises in the next")) == ("fail", True), row
    assert "count (values)" in row.cause
    row = ask(bench("SecondTime"), "finite")
    assert (row.status, "raises when it is called again" in row.evidence) == ("error", True), row
    assert "exit" in ask(bench("Leaving"), "finite").evidence
    for question in ("finite", "batch_rows", "graph_free"):
        assert ask(bench("Wordy"), question).status == "skip"
    for question in ("repeatable", "reload", "hidden_state", "threads"):
        row = ask(bench("Wordy"), question)
        assert (row.status, "no tensor and no number" in row.evidence) == ("error", True), row


def test_skips_say_why() -> None:
    assert "batch dimension" in ask(bench("Plain", spec="x=float32[batch:1..1,6]"), "batch_rows").evidence
    assert ask(bench("Plain", spec="x=float32[6]"), "batch_rows").status == "skip"
    assert "does not run with batches of 5 and 6" in ask(bench("FiveOnly"), "batch_rows").evidence
    row = ask(bench("Plain"), "memory_flat", budget=1e-9)
    assert (row.status, "too few" in row.evidence) == ("skip", True)


def test_usage_and_cancel() -> None:
    on = bench("Plain")
    with pytest.raises(WorkbenchError, match="no check 'nonsense'"):
        ask(on, "nonsense")
    stopped = job()
    stopped.cancel()
    with pytest.raises(Cancelled):
        check(on, Runs(on), Check("finite"), stopped)


def everything(on: Bench) -> dict[str, Any]:
    """All that a check could change, by value."""
    modules = dict(on.model.named_modules())
    parameters, buffers = dict(on.model.named_parameters()), dict(on.model.named_buffers())
    return {
        "identities": [id(tensor) for tensor in (*parameters.values(), *buffers.values(), *on.args)],
        "memory": [tensor.data_ptr() for tensor in parameters.values()],
        "values": [tensor.detach().tolist() for tensor in (*parameters.values(), *buffers.values(), *on.args)],
        "names": [*parameters, *buffers],
        "flags": [module.training for module in modules.values()],
        "requires_grad": [parameter.requires_grad for parameter in parameters.values()],
        "gradients": [parameter.grad for parameter in parameters.values()],
        "held": held_by(on.model),
        "hooks": [len(module._forward_hooks) + len(module._forward_pre_hooks) for module in modules.values()],
        "generators": (torch.get_rng_state().tolist(), random.getstate()),
        "threads": torch.get_num_threads(),
        "modes": on.modes,
    }


@pytest.mark.parametrize("question", CHECK_IDS)
@pytest.mark.parametrize("name", ["Mutating", "Counting", "FunctionalDropout"])
def test_nothing_is_changed_by_a_check(question: str, name: str) -> None:
    on = bench(name)
    before = everything(on)
    ask(on, question)
    assert everything(on) == before


def test_untouched_puts_back_what_was_done_inside() -> None:
    on = bench("Mutating", grad="grad")
    before = everything(on)
    with untouched(on) as snapshot:
        on.model(*on.args)
        assert everything(on) != before
        assert ("extra", "new") in snapshot.changed_buffers()
        assert ("seen", "list", 0, 1) in snapshot.grown()
    assert everything(on) == before
    assert snapshot.lost == []
    with pytest.raises(ZeroDivisionError), untouched(on):
        raise ZeroDivisionError(on.model(*on.args))
    assert everything(on) == before


def test_values_too_large_to_be_copied_are_watched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(held, "COPY_BUDGET", 8)
    on = bench("Mutating")
    row = ask(on, "graph_free")
    assert row.status == "error"
    assert "linear.weight" in row.evidence
    assert ask(bench("Healthy"), "graph_free").status == "pass"
    unseen = bench_of_faults("WritesData")  # by no version
    row = ask(unseen, "graph_free")
    assert (row.status, "linear.weight" in row.evidence) == ("error", True), row


def test_a_snapshot_writes_only_what_changed() -> None:
    on = bench("Counting")
    versions = [tensor._version for tensor in on.model.parameters()]
    Snapshot(on.model, on.args, on.kwargs).restore()
    assert [tensor._version for tensor in on.model.parameters()] == versions


def test_a_leak_is_freed_when_the_check_ends() -> None:
    on = bench("Hoarding")
    ask(on, "memory_flat")
    gc.collect()
    plain = [thing for thing in gc.get_objects() if type(thing) is torch.Tensor and not thing.is_nested]
    assert [thing for thing in plain if thing.shape == (500,)] == []


@pytest.mark.parametrize("question", ["batch_rows", "batch_sizes", "reload"])
def test_what_differs_by_itself_is_not_blamed_on_what_a_check_asks_about(question: str) -> None:
    row = ask(bench("EverySeventh"), question)
    assert row.status in ("pass", "skip"), row
    assert row.status == "pass" or "see the check repeatable" in row.evidence
    assert ask(bench("EverySeventh"), "repeatable").status == "fail"
