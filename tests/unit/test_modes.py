"""The switch board: exact flags, all-or-nothing changes, casts, generators."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
import torch
from torch import nn

from tests.unit import bench_models
from workbench.protocol.failures import Failure, WorkbenchError
from workbench.protocol.messages import Load, Restore, SetModes
from workbench.protocol.model import ModeChange, Modes, Recipe
from workbench.worker.bench import modes as switches
from workbench.worker.bench import placement
from workbench.worker.bench.bench import Bench
from workbench.worker.job import Job


def apply(model: nn.Module, change: ModeChange, before: Modes | None = None) -> Modes:
    return switches.apply(model, None, before or switches.read_modes(model), change)


def refused(model: nn.Module, change: ModeChange, kind: str) -> Failure:
    before, dtypes = switches.flags(model), [p.dtype for p in model.parameters()]
    with pytest.raises(WorkbenchError) as caught:
        apply(model, change)
    assert caught.value.failure.kind == kind
    assert switches.flags(model) == before
    assert [p.dtype for p in model.parameters()] == dtypes
    return caught.value.failure


def test_flags_are_the_root_and_where_children_differ() -> None:
    model = bench_models.Net()
    assert switches.flags(model) == (True, ())
    model.eval()
    model.drop.train()
    assert switches.flags(model) == (False, ("drop",))
    assert switches.read_modes(model).training_word == "mix"


def test_every_combination_of_flags_can_be_set_exactly() -> None:
    model = bench_models.Frozen()
    paths = ["body", "body.0", "body.1", "body.2"]
    for bits in range(32):
        training, flips = bool(bits & 16), tuple(path for place, path in enumerate(paths) if bits >> place & 1)
        switches.set_flags(model, training, flips)
        assert switches.flags(model) == (training, flips)


def test_the_models_own_train_is_respected_and_undo_is_exact() -> None:
    model = bench_models.Frozen()
    modes = apply(model, ModeChange(training=True))
    assert modes.flips == ("body.1",)
    model.body[1].train()
    odd = switches.flags(model)
    now = apply(model, ModeChange(training=False))
    assert now.training_word == "eval"
    apply(model, ModeChange(training=odd[0], flips=odd[1]))
    assert switches.flags(model) == odd


def test_one_module_and_all_below_it() -> None:
    model = bench_models.Frozen()
    model.eval()
    assert apply(model, ModeChange(module="body", module_training=True)).flips == ("body",)
    assert model.body[2].training


def test_a_shared_module_has_one_flag() -> None:
    shared = nn.Dropout()
    model = nn.Sequential(nn.Sequential(shared), nn.Sequential(shared))
    shared.eval()
    assert switches.flags(model) == (True, ("0.0",))


@pytest.mark.parametrize(
    ("change", "kind", "words"),
    [
        (ModeChange(module="dorp", module_training=True), "usage", "Did you mean 'drop'"),
        (ModeChange(training=False, flips=("nowhere",)), "usage", "nowhere"),
        (ModeChange(training=False, grad="some"), "usage", "inference_mode"),
        (ModeChange(training=False, rng="loose"), "usage", "fixed"),
        (ModeChange(training=False, threads=-1), "usage", "threads"),
        (ModeChange(training=False, dtype="int64"), "usage", "float16"),
        (ModeChange(training=False, dtype="float16", device="cuda:77"), "device", "cpu"),
        (ModeChange(training=False, device="tricorder"), "device", "cpu"),
        (ModeChange(training=False, device="meta"), "device", "no values"),
    ],
)
def test_a_change_that_fails_changes_nothing(change: ModeChange, kind: str, words: str) -> None:
    failure = refused(bench_models.Net(), change, kind)
    assert words in failure.message + failure.remedy


def test_a_cast_that_fails_halfway_is_taken_back(monkeypatch: pytest.MonkeyPatch) -> None:
    model = bench_models.Tied()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    wanted = placement._wanted
    calls = []

    def fails_at_the_third(*arguments: torch.Tensor) -> torch.dtype:
        calls.append(arguments)
        if len(calls) == 3:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return wanted(*arguments)

    monkeypatch.setattr(placement, "_wanted", fails_at_the_third)
    with pytest.raises(torch.OutOfMemoryError):
        apply(model, ModeChange(training=False, dtype="float16"))
    assert model.training
    after = model.state_dict()
    assert all(torch.equal(before[name], after[name]) and before[name].dtype == after[name].dtype for name in before)


def test_casts_touch_floats_only_keep_ties_and_find_the_way_back() -> None:
    model = bench_models.Tied()
    model.norm.double()
    first = apply(model, ModeChange(dtype="float16"))
    assert {tensor.dtype for tensor in model.state_dict().values()} == {torch.float16, torch.int64}
    assert model.places.dtype == torch.float16
    assert model.head.weight is model.embed.weight
    back = apply(model, ModeChange(dtype=""), first)
    assert back.dtype == ""
    assert model.embed.weight.dtype == torch.float32
    assert model.norm.weight.dtype == torch.float64


def test_threads_are_set_and_go_back_to_torchs_choice() -> None:
    try:
        assert apply(bench_models.Net(), ModeChange(threads=1)).threads == 1
        assert torch.get_num_threads() == 1
    finally:
        apply(bench_models.Net(), ModeChange(threads=0))
    assert torch.get_num_threads() == switches.DEFAULT_THREADS


@pytest.mark.parametrize(("grad", "enabled", "inference"), [
    ("grad", True, False), ("no_grad", False, False), ("inference_mode", False, True),
])  # fmt: skip
def test_running_sets_the_grad_mode_and_fixed_generators(grad: str, enabled: bool, inference: bool) -> None:
    modes = Modes(grad=grad, rng="fixed", seed=9)
    draws = []
    for _ in range(2):
        with torch.no_grad(), switches.running(modes):
            assert torch.is_grad_enabled() == enabled
            assert torch.is_inference_mode_enabled() == inference
            draws.append((float(torch.rand(1)), random.random()))
    assert draws[0] == draws[1]


def test_generators_are_kept() -> None:
    torch_state, python_state = torch.get_rng_state(), random.getstate()
    with switches.generators_kept(4):
        one = (float(torch.rand(1)), random.random())
    with switches.generators_kept(4):
        assert (float(torch.rand(1)), random.random()) == one
    assert torch.equal(torch.get_rng_state(), torch_state)
    assert random.getstate() == python_state


@pytest.mark.parametrize("below", [False, True])
def test_a_train_of_the_models_own_that_raises_is_a_failure_and_changes_nothing(below: bool) -> None:
    class Picky(nn.Sequential):
        def train(self, mode: bool = True) -> Picky:
            super().train(mode)
            for parameter in self.parameters():
                parameter.requires_grad_(False)
            raise RuntimeError("never again")

    inner = Picky(nn.Linear(2, 2), nn.Dropout())
    model = nn.Sequential(inner)
    change = ModeChange(module="0", module_training=False) if below else ModeChange(training=False)
    failure = refused(model, change, "forward")
    assert "Picky.train(False) raised" in failure.message if below else "train(False) raised" in failure.message
    assert "never again" in failure.message
    assert all(parameter.requires_grad for parameter in model.parameters())


def bench_of(folder: Path, dtype: str, cast: str | None = None) -> tuple[Bench, Job]:
    """A real bench with one layer of `dtype`, put into `cast` by its load."""
    source = f"import torch\n\n\ndef net():\n    return torch.nn.Linear(3, 3, dtype=torch.{dtype})\n"
    (folder / "net.py").write_text(source)
    job, bench = Job(1, lambda body, number: None), Bench()
    bench.load(Load(Recipe(f"{folder}/net.py:net", inputs=("input=float32[2,3]",)), ModeChange(dtype=cast)), job)
    return bench, job


@pytest.mark.parametrize(
    ("built", "trip", "words"),
    [
        ("float16", ("bfloat16", ""), ("rounded to bfloat16", "bfloat16 and back")),
        ("bfloat16", ("float16", "bfloat16"), ("rounded to float16", "float16 and back")),
        ("float16", ("float32", "bfloat16"), ("", "rounded to bfloat16")),
        ("bfloat16", ("float64", "float32", "bfloat16"), ("", "", "")),
        ("float32", ("bfloat16", "float16"), ("rounded to bfloat16", "rounded to float16")),
    ],
)
def test_every_cast_that_loses_numbers_is_said(
    tmp_path: Path, built: str, trip: tuple[str, ...], words: tuple[str, ...]
) -> None:
    bench, job = bench_of(tmp_path, built)
    for dtype, said in zip(trip, words, strict=True):
        note = bench.set_modes(SetModes(ModeChange(dtype=dtype)), job).note
        assert (said in note) if said else note == ""


def test_values_that_a_load_or_a_restore_rounded_are_not_forgotten(tmp_path: Path) -> None:
    bench, job = bench_of(tmp_path, "float32", "float16")

    def back() -> str:
        return bench.set_modes(SetModes(ModeChange(dtype="float32")), job).note

    assert "float16 and back" in back()
    bench.set_modes(SetModes(ModeChange(dtype="float16")), job)
    bench.restore(Restore(), job)
    assert "float16 and back" in back()
    bench.load(Load(bench.recipe, ModeChange(dtype="float64"), keep_state=True), job)
    assert "values were rounded" in back()
    bench.restore(Restore(), job)
    assert bench.set_modes(SetModes(ModeChange(dtype="float64")), job).note == ""


class Stubborn(nn.Dropout):
    def train(self, mode: bool = True) -> Stubborn:
        return self


def test_a_module_that_does_not_follow_is_named_with_its_own_train() -> None:
    model = nn.Sequential(nn.Linear(2, 2), Stubborn())
    assert switches.not_followed(model, True) == ""
    apply(model, ModeChange(training=False))
    line = Stubborn.train.__code__.co_firstlineno
    words = switches.not_followed(model, False)
    assert words == f"1 (Stubborn) stayed in train: its class has a train() of its own at test_modes.py:{line}"
    assert switches.own_train(model[0]) == ""


class Forgets(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.drop = nn.Dropout()

    def train(self, mode: bool = True) -> Forgets:
        super().train(mode)
        self.drop.training = True
        return self


def test_a_child_that_its_parents_own_train_leaves_behind_is_named_with_that_train() -> None:
    model = nn.Sequential(nn.Linear(2, 2), Forgets())
    apply(model, ModeChange(training=False))
    line = Forgets.train.__code__.co_firstlineno
    assert switches.not_followed(model, False) == (
        f"1.drop (Dropout) stayed in train: 1, which holds it, has a train() of its own at test_modes.py:{line}"
    )
