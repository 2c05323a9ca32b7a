"""Every fault fails its check with the cause named, and its healthy counterpart is accused by no check at all."""

from __future__ import annotations

import gc
import threading
import time
from types import SimpleNamespace

import pytest
import torch

from tests.corpus import healthy_sequences
from tests.unit import check_faults, check_healthy, matrix_models
from tests.unit.test_checks import job
from workbench.protocol.artifacts import CHECK_IDS, LATENCY, CheckRow
from workbench.protocol.failures import WorkbenchError
from workbench.protocol.messages import Check, Load, SetModes
from workbench.protocol.model import ModeChange, Recipe
from workbench.protocol.policy import Budgets, CheckPolicy, Policy
from workbench.worker.bench.bench import Bench
from workbench.worker.judge import checks_memory, checks_run, leak, peak
from workbench.worker.judge.checks import check
from workbench.worker.judge.declared import check_policy
from workbench.worker.judge.run import Runs


def bench(file: str, name: str, *specs: str, grad: str = "no_grad") -> Bench:
    found = Bench()
    found.load(Load(Recipe(f"{file}:{name}", inputs=specs), ModeChange(training=False, grad=grad)), job())
    return found


def ask(on: Bench, question: str, policy: Policy | None = None, budget: float = 60.0) -> CheckRow:
    return check(on, Runs(on), Check(question, budget, policy or Policy()), job())


def faulty(name: str, question: str, spec: str = "x=float32[5,6]", policy: Policy | None = None) -> CheckRow:
    return ask(bench(check_faults.__file__, name, spec), question, policy)


@pytest.mark.parametrize(
    ("name", "question", "words"),
    [
        ("FirstCache", "hidden_state", "mean (rebound)"),
        ("Blends", "hidden_state", "last (rebound)"),
        ("Seldom", "hidden_state", "Run 50 of the same input differs"),
        ("Seldom", "hidden_state", "calls moves on with every run"),
        ("Hardly", "hidden_state", "With calls at 1000"),
        ("SetsPrecision", "hidden_state", "sets torch.float32_matmul_precision (highest → high)"),
        ("SetsPrecision", "hidden_state", "Set in the model itself (SetsPrecision) at check_faults.py:"),
        ("NewVariable", "hidden_state", "_REMEMBERED (check_faults.py) (new)"),
        ("OnTheFunction", "hidden_state", "OnTheFunction.act.mean (new)"),
        ("OnAHelper", "hidden_state", "_remembered.mean (new)"),
        ("Unwritten", "repeatable", "aten.empty at check_faults.py:"),
        ("UnwrittenNew", "repeatable", "aten.new_empty at check_faults.py:"),
        ("UnwrittenStrided", "repeatable", "aten.empty_strided at check_faults.py:"),
        ("UnwrittenInStep", "repeatable", "ninitialised memory"),
        ("ByThreads", "repeatable", "asks how many threads there are, at check_faults.py:"),
        ("Grows", "memory_flat", "past (float32[5, "),
        ("Grows", "hidden_state", "past (rebound)"),
        ("CameApart", "reload", "_more[0].weight"),
        ("CameApart", "reload", "_dec equals enc.weight here, and has come apart from it there"),
        ("Scales", "inputs_untouched", "x (30 of 30 elements)"),
        ("Scales", "inputs_untouched", "aten.mul_ at check_faults.py:"),
        ("ZeroesAView", "inputs_untouched", "at check_faults.py:"),
        ("WritesTheSame", "inputs_untouched", "written to, with the values that it had"),
        ("NanWeight", "parameters_finite", "linear.weight (1 NaN, 0 infinite of 24)"),
        ("InfiniteVariance", "parameters_finite", "norm.running_var"),
        ("InfiniteScale", "parameters_finite", "scale"),
        ("BySize", "batch_sizes", "The size comes in at aten.div at check_faults.py:"),
        ("DoubleBuffer", "dtype_device", "output is float64"),
        ("DoubleBuffer", "dtype_device", "aten.mul at check_faults.py:"),
        ("DoubleBufferHidden", "dtype_device", "it computes in float64"),
        ("FixedDevice", "dtype_device", "ones(device='cpu') at check_faults.py:"),
        ("Shares", "threads", "scratch (rebound)"),
        ("LeaksInClosure", "memory_flat", "float32[701] are alive, held by attribute keep"),
        ("LeaksInCache", "memory_flat", "lru_cache of table (check_faults.py:"),
        ("ChangingTree", "repeatable", "output['more']"),
    ],
)
def test_each_fault_is_found_with_its_cause(name: str, question: str, words: str) -> None:
    row = faulty(name, question)
    assert row.status == "fail", row
    assert words in f"{row.evidence} {row.cause}", row
    assert row.remedy


@pytest.mark.parametrize("question", ["batch_rows", "batch_sizes"])
def test_a_batch_that_is_refused_for_what_was_kept_is_a_matter_of_hidden_state(question: str) -> None:
    row = faulty("Grows", question)
    assert row.status == "skip", row
    assert "past (rebound); see the check hidden_state" in row.evidence


@pytest.mark.parametrize(
    ("name", "question", "finding", "words"),
    [
        ("HalfInside", "dtype_device", "narrow_inside", "aten._to_copy to float16 at check_faults.py:"),
        ("SwapsBatch", "batch_rows", "batch_dimension", "output along dimension 1"),
    ],
)
def test_what_may_be_meant_is_told_and_does_not_vote(name: str, question: str, finding: str, words: str) -> None:
    row = faulty(name, question)
    assert row.status == "pass", row
    (found,) = row.findings
    assert (found.id, words in found.words) == (finding, True), found


def test_a_weight_that_max_norm_shortens_is_told_until_it_is_short() -> None:
    on = bench(check_faults.__file__, "Shortens", "ids=int64[4,6]{0..49}")
    before = on.model.embed.weight.detach().clone()
    row = ask(on, "hidden_state")
    assert (row.status, [one.id for one in row.findings]) == ("pass", ["parameter_written"]), row
    (found,) = row.findings
    assert "embed (Embedding) writes into embed.weight: aten.embedding_renorm_ at check_faults.py:" in found.words
    assert "max_norm=1" in found.words
    assert "embed.weight.renorm_(2, 0, 1)" in found.remedy
    assert torch.equal(on.model.embed.weight, before)
    with torch.no_grad():
        on.model.embed.weight.renorm_(2, 0, 1)
    assert ask(on, "hidden_state").findings == ()


def test_a_cache_is_empty_again_after_a_check_and_holds_no_fakes() -> None:
    on = bench(healthy_sequences.__file__, "Tables", "x=float32[4,5,6]")
    ramp = type(on.model).forward.__globals__["ramp"]
    for question in ("hidden_state", "dtype_device", "memory_flat"):
        assert ask(on, question).status == "pass"
        assert ramp.cache_info().currsize == 0
    on.model(*on.args)
    assert ask(on, "dtype_device").status == "pass"
    on.model.bfloat16()(on.args[0].bfloat16())


def test_whole_numbers_that_are_all_the_same_vote_only_inside_a_declared_domain() -> None:
    row = faulty("AllPadding", "finite", "ids=int64[4,6]{1..9}")
    assert row.status == "pass", row
    row = faulty("AllPadding", "finite", "ids=int64[4,60]{0..9}")
    assert (row.status, [one.id for one in row.findings]) == ("pass", ["edge_inputs"]), row
    row = faulty("AllPadding", "finite", "ids=int64[4,60]{0..9}", Policy(domain={"ids": (0, 9)}))
    assert (row.status, "zeros, inside the declared domain" in row.evidence) == ("fail", True), row


def test_memory_that_is_written_whole_or_multiplied_by_zero_is_no_fault() -> None:
    row = faulty("WrittenLater", "repeatable")
    assert (row.status, row.findings) == ("pass", ()), row


def test_threads_do_not_accuse_a_model_that_does_not_repeat_by_itself() -> None:
    row = faulty("Unwritten", "threads")
    assert row.status != "fail", row


def test_a_thread_that_is_given_up_writes_on_the_model_no_more() -> None:
    on = bench(check_faults.__file__, "Asleep", "x=float32[5,6]")
    row = ask(on, "threads", budget=1.0)
    assert "did not come back" in row.evidence, row
    deadline = time.monotonic() + 20
    while any(one.daemon and "call" in one.name for one in threading.enumerate()) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert on.model.calls == 0


def test_a_declared_size_that_raises_is_a_failure_and_an_undeclared_one_is_told() -> None:
    row = faulty("NoSingle", "batch_sizes", "x=float32[batch:1..8,6]")
    assert (row.status, "raises with batches of 1" in row.evidence) == ("fail", True), row
    row = faulty("NoSingle", "batch_sizes")
    assert (row.status, [one.id for one in row.findings]) == ("skip", ["fixed_batch"]), row


def test_a_tensor_made_without_a_device_or_a_dtype_is_told_and_does_not_vote() -> None:
    row = faulty("DefaultDevice", "dtype_device")
    assert (row.status, [one.id for one in row.findings]) == ("pass", ["half", "other_device"]), row
    half, device = row.findings
    assert "output would be float32. Widened first in aten.add at check_faults.py:" in half.words
    assert ", given float32 of aten.arange at check_faults.py:" in half.words
    assert "check_faults.py:" in device.words


def test_threads_that_never_end_are_a_failure_that_says_where_they_stand() -> None:
    row = ask(bench(check_faults.__file__, "Deadlocks", "x=float32[5,6]"), "threads", budget=3.0)
    assert (row.status, "check_faults.py:" in row.cause) == ("fail", True), row


def test_a_thread_has_grad_mode_on_and_that_is_a_finding() -> None:
    row = ask(bench(check_healthy.__file__, "Normed", "x=float32[4,3,8,8]"), "threads")
    assert (row.status, row.findings[0].id) == ("pass", "thread_grad_mode"), row
    assert ask(bench(check_healthy.__file__, "Normed", "x=float32[4,3,8,8]", grad="grad"), "threads").findings == ()


HEALTHY = [
    ("Masked", "ids=int64[3,7]{0..49}"),
    ("Masked", "ids=int64[batch:1..6,7]{0..49}"),
    ("Normed", "x=float32[4,3,8,8]"),
    ("Recurrent", "x=float32[4,5,6]"),
    ("Half", "x=float32[4,6]"),
    ("Rotary", "x=float32[4,5,8]"),
    ("Classes", "x=float32[8,6]"),
    ("Forces", "x=float32[4,6]"),
    ("Whole", "x=float32[6]"),
    ("Signal", "x=float32[50]"),
    ("Observed", "x=float32[4,6]"),
    ("Encoder", "x=float32[4,5,16]"),
    ("Unbatched", "x=float32[5,16]"),
    ("Packed", "x=float32[4,5,6]"),
    ("Lazy", "x=float32[4,6]"),
    ("scripted", "input=float32[4,6]"),
    ("quantised", "input=float32[4,6]"),
    ("Interpolates", "x=float32[4,6]"),
]


@pytest.mark.parametrize(("name", "spec"), HEALTHY, ids=[f"{name}-{spec}" for name, spec in HEALTHY])
def test_a_healthy_model_is_accused_by_no_check(name: str, spec: str) -> None:
    on = bench(check_healthy.__file__, name, spec)
    for question in (*CHECK_IDS, LATENCY):
        row = ask(on, question)
        assert row.status in ("pass", "skip", ""), row


def test_finite_inside_and_outside_of_a_declared_domain() -> None:
    row = faulty("LogOf", "finite")
    assert row.status == "fail"  # ordinary numbers are negative as well
    row = faulty("LogOf", "finite", policy=Policy(domain={"x": (1.0, 9.0)}))
    assert (row.status, "zeros" in row.evidence) == ("pass", True), row
    row = faulty("LogOf", "finite", policy=Policy(domain={"x": (0.0, 9.0)}))
    assert (row.status, "Input of zeros, inside the declared domain" in row.evidence) == ("fail", True), row
    row = faulty("LogOf", "finite", "x=float32[5,6]{1..9}")
    assert row.status == "pass", row
    log = ask(bench(check_healthy.__file__, "Classes", "x=float32[5,6]"), "finite")
    assert (log.status, log.findings) == ("pass", ())


def test_what_is_declared_is_excused_and_said() -> None:
    assert faulty("Noisy", "randomness").status == "fail"
    for question in ("randomness", "repeatable"):
        row = faulty("Noisy", question, policy=Policy(stochastic=True))
        assert (row.status, "(declared: stochastic" in row.evidence) == ("pass", True), row
    for question in ("batch_rows", "batch_sizes"):
        assert faulty("Coupled", question).status == "fail"
        row = faulty("Coupled", question, policy=Policy(batch_coupled=True))
        assert (row.status in ("pass", "skip"), "(declared: batch_coupled" in row.evidence) == (True, True), row
    for question in ("hidden_state", "repeatable"):
        assert faulty("Blends", question).status == "fail"
        row = faulty("Blends", question, policy=Policy(mutates=("last",)))
        assert row.status == "pass", row
    assert "(declared: mutates last" in faulty("Blends", "hidden_state", policy=Policy(mutates=("la*",))).evidence
    assert faulty("Scales", "inputs_untouched", policy=Policy(mutates=("x",))).status == "pass"
    both = bench(check_faults.__file__, "WritesBoth", "x=float32[5,6]", "y=float32[5,6]")
    row = ask(both, "inputs_untouched", Policy(mutates=("x",)))
    assert (row.status, "(declared: mutates x)" in row.evidence, "y (" in row.evidence) == ("fail", True, True), row
    assert "declared" not in faulty("LazyBuffer", "buffers").evidence
    assert "no buffers" not in faulty("LazyBuffer", "buffers").evidence


def test_an_edge_of_the_declared_domain_that_there_was_no_time_for_is_no_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    on = bench(check_healthy.__file__, "Classes", "x=float32[5,6]")
    inside = Policy(domain={"x": (-9.0, 9.0)})
    assert ask(on, "finite", inside).status == "pass"
    monkeypatch.setattr(checks_run.Subject, "spent", 0.9)
    row = ask(on, "finite", inside)
    assert (row.status, "zeros" in row.evidence, "--timeout" in row.remedy) == ("skip", True, True), row
    assert ask(on, "finite").status == "pass"


def test_threads_do_not_accuse_what_draws_though_every_forward_is_seeded() -> None:
    on = bench(check_faults.__file__, "Noisy", "x=float32[5,6]")
    on.set_modes(SetModes(ModeChange(rng="fixed")), job())
    row = ask(on, "threads", Policy(stochastic=True))
    assert (row.status, "share one generator" in row.evidence) == ("skip", True), row


def test_what_the_model_froze_stays_frozen() -> None:
    gc.freeze()
    try:
        frozen = gc.get_freeze_count()
        assert ask(bench(check_healthy.__file__, "Classes", "x=float32[5,6]"), "memory_flat").status == "pass"
        assert gc.get_freeze_count() > frozen / 2
    finally:
        gc.unfreeze()


def test_a_discrete_output_is_judged_by_the_share_that_agrees() -> None:
    assert faulty("Picks", "repeatable").status == "fail"
    row = faulty("Picks", "repeatable", policy=Policy(discrete={"output['class']": 0.8}))
    assert (row.status, "(declared: output['class'] is discrete" in row.evidence) == ("pass", True), row
    assert faulty("Picks", "repeatable", policy=Policy(discrete={"output['class']": 0.9})).status == "fail"


@pytest.mark.parametrize(
    ("name", "policy", "words"),
    [
        ("Picks", Policy(discrete={"output['clas']": 0.9}), "Did you mean \"output['class']\""),
        ("Blends", Policy(mutates=("lats",)), "Did you mean 'last'?"),
        ("Scales", Policy(mutates=("linear.*", "cache.*")), "There is x"),
    ],
)
def test_a_policy_that_names_what_is_not_there_is_a_usage_error(name: str, policy: Policy, words: str) -> None:
    on = bench(check_faults.__file__, name, "x=float32[5,6]")
    with pytest.raises(WorkbenchError) as caught:
        check_policy(on, Runs(on), CheckPolicy(policy), job())
    assert caught.value.failure.kind == "usage"
    assert words in caught.value.failure.remedy


@pytest.mark.parametrize(
    ("name", "policy"),
    [
        ("Picks", Policy(discrete={"output['class']": 0.9}, mutates=("turn",))),
        ("Blends", Policy(mutates=("la*",))),
        ("Scales", Policy(mutates=("x",))),
        ("SetsPrecision", Policy(mutates=("torch.float32_matmul_precision",))),
        ("NewVariable", Policy(mutates=("_REMEMBERED*",))),
    ],
)
def test_a_policy_may_name_all_that_a_forward_can_change(name: str, policy: Policy) -> None:
    on = bench(check_faults.__file__, name, "x=float32[5,6]")
    check_policy(on, Runs(on), CheckPolicy(policy), job())


def test_a_forward_is_over_when_its_device_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []

    def clock() -> float:
        order.append("clock")
        return float(len(order))

    monkeypatch.setattr(checks_run, "synchronizer", lambda device: lambda: order.append("wait"))
    monkeypatch.setattr(checks_run, "time", SimpleNamespace(perf_counter=clock, monotonic=time.monotonic))
    on = bench(check_faults.__file__, "Base", "x=float32[5,6]")
    on.model.register_forward_hook(lambda *_: order.append("forward"))
    assert ask(on, LATENCY).id == LATENCY
    assert order[:5] == ["wait", "clock", "forward", "wait", "clock"]


def test_budgets_vote_and_say_what_was_declared() -> None:
    on = bench(check_healthy.__file__, "Normed", "x=float32[4,3,8,8]")
    row = ask(on, LATENCY)
    assert (row.status, [one.id for one in row.findings]) == ("", ["latency"])
    row = ask(on, LATENCY, Policy(Budgets(latency_median_ms=1e-6)))
    assert (row.status, "latency_median_ms" in row.cause, row.findings) == ("fail", True, ())
    assert ask(on, LATENCY, Policy(Budgets(latency_p99_ms=1e6))).status == "pass"
    row = ask(on, "graph_free", Policy(Budgets(saved_mib=1e-6)))
    assert (row.status, "saved_mib = 1e-06" in row.evidence) == ("fail", True)
    assert ask(on, "graph_free", Policy(Budgets(saved_mib=100))).status == "pass"
    row = ask(on, "memory_flat", Policy(Budgets(peak_mib=1000)))
    assert (row.status, "peak_mib = 1000" in row.evidence) == ("pass" if peak._kernel_says() else "skip", True)


def test_a_peak_beyond_the_budget_fails_and_one_that_nobody_knows_does_not_pass(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    on = bench(matrix_models.__file__, "Forty", "x=float32[2,4]")
    if peak._kernel_says():
        row = ask(on, "memory_flat", Policy(Budgets(peak_mib=10)))
        assert (row.status, "MiB at its highest" in row.evidence) == ("fail", True), row
        assert ask(on, "memory_flat", Policy(Budgets(peak_mib=100))).status == "pass"
    monkeypatch.setattr(peak, "_kernel_says", lambda: False)
    row = ask(on, "memory_flat", Policy(Budgets(peak_mib=10)))
    assert (row.status, "does not say" in row.evidence) == ("skip", True), row


def test_a_vast_output_is_compared_on_elements_that_are_evenly_spread() -> None:
    row = faulty("Vast", "finite")
    assert (row.status, "output, 15625000 of 1000000000" in row.evidence) == ("pass", True), row
    row = faulty("VastMoody", "repeatable")
    assert (row.status, "Evenly spread elements" in row.evidence, "too large" in row.cause) == ("fail", True, True), row


def test_one_nan_in_a_vast_output_is_found_between_the_elements_that_are_compared() -> None:
    row = faulty("VastNan", "finite")
    assert (row.status, "NaN or infinite elements in output" in row.evidence) == ("fail", True), row


def test_a_tree_of_outputs_that_changes_is_said_and_the_other_checks_go_on() -> None:
    assert faulty("ChangingTree", "repeatable").status == "fail"
    assert faulty("ChangingTree", "hidden_state").status == "fail"
    for question in ("batch_rows", "batch_sizes", "threads"):
        assert faulty("ChangingTree", question).status in ("skip", "pass")
    assert faulty("ChangingTree", "finite").status == "pass"


def test_what_runs_once_only_does_not_repeat_and_is_an_error_in_every_other_check_that_runs_it_twice() -> None:
    row = faulty("Once", "repeatable")
    assert (row.status, "once only" in row.evidence) == ("fail", True), row
    for question in ("hidden_state", "batch_rows", "batch_sizes", "threads", "memory_flat", "reload"):
        row = faulty("Once", question)
        assert (row.status, "once only" in row.evidence) == ("error", True), row
    for question in ("modes", "parameters_finite", "graph_free"):
        assert faulty("Once", question).status == "pass"


def test_a_generator_is_nothing_to_compare_and_is_told() -> None:
    row = faulty("Yields", "repeatable")
    assert (row.status, "it has a yield" in row.evidence) == ("error", True), row


@pytest.mark.parametrize("question", ["hidden_state", "threads"])
def test_a_slow_forward_is_left_out_of_what_does_not_fit_into_the_budget(question: str) -> None:
    row = ask(bench(check_faults.__file__, "Slow", "x=float32[5,6]"), question, budget=2.0)
    assert (row.status, "do not fit into 2 s" in row.evidence) == ("skip", True), row


def faults_line(text: str) -> int:
    with open(check_faults.__file__, encoding="utf-8") as stream:
        return next(number for number, line in enumerate(stream, 1) if text in line)


def test_a_write_through_a_view_is_where_rows_meet() -> None:
    row = faulty("AddsNeighbour", "batch_rows")
    assert row.status == "fail"
    assert f"aten.add_ at check_faults.py:{faults_line('y[1:] += 0.1')}" in row.cause


def test_where_the_size_of_a_batch_comes_in_is_named() -> None:
    row = faulty("DividesBySize", "batch_sizes")
    assert row.status == "fail"
    assert f"The size comes in at aten.div at check_faults.py:{faults_line('return y / x.size(0)')}" in row.cause
    mean = faulty("Coupled", "batch_sizes")
    assert "aten.mean at check_faults.py" in mean.cause


def test_a_size_that_is_refused_only_after_another_is_no_matter_of_sizes() -> None:
    row = faulty("KeepsBatch", "batch_sizes")
    assert (row.status, row.findings) == ("skip", ())
    assert "refused after a batch of another size" in row.evidence
    assert "former" in row.evidence


JUMPS = [0, 8_000, 2_000, 53_600, 0, 800, 1_300, 51_900, 0, 0, 51_900, 0]
"""Bytes that runs of a healthy densenet take, one after the other, before its kernels have all that they keep."""


@pytest.mark.parametrize(
    ("taken", "more", "status"),
    [
        (JUMPS, 0, "skip"),
        (JUMPS, 40, "pass"),
        ([15_000] * 12, 0, "fail"),
        ([15_000] * 12, 40, "fail"),
        ([400_000, 0, 0] * 5, 0, "fail"),
    ],
)
def test_a_few_jumps_in_a_few_runs_are_no_leak(
    taken: list[int], more: int, status: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    each = [*taken, *([taken[-1] if taken[0] else 0] * more)]
    held = iter([sum(each[: number + 1]) for number in range(len(each))])
    monkeypatch.setattr(checks_memory, "RUNS", len(each) - leak.WARM_UP)
    monkeypatch.setattr(checks_memory, "live_bytes", lambda device: (lambda: next(held), True))
    assert ask(bench(check_healthy.__file__, "Classes", "x=float32[5,6]"), "memory_flat").status == status
