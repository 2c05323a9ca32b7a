"""The memory account: saved bytes by module against the walk, parts that add up, the same runs otherwise."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from workbench.protocol.memory import AccountMemory, MeasureCounterfactual, MemoryAccount
from workbench.protocol.model import Modes, Recipe
from workbench.report import memory as words
from workbench.worker.judge import graph, leak, memory
from workbench.worker.judge.account import REST, account
from workbench.worker.judge.attribution import saved_by_module
from workbench.worker.judge.counterfactual import counterfactual

from .own_process import told
from .run_bench import Sent, bench_with, fire

MODELS = Path(__file__).with_name("matrix_models.py")


class Own(torch.autograd.Function):
    """Saves what it should, and keeps more on ctx."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x * 2)
        ctx.more = x * 3
        ctx.listed = [x * 4]
        return x + 1

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> Tensor:
        return slope


class Saving(nn.Module):
    """Saves in one of many ways between two layers."""

    def __init__(self, how: str) -> None:
        super().__init__()
        self.how = how
        self.a, self.b, self.tied = nn.Linear(10, 64), nn.Linear(64, 64), nn.Linear(64, 64)
        self.tied.weight = self.b.weight
        self.norm = nn.BatchNorm1d(64)

    def forward(self, x: Tensor) -> Tensor:
        h = self.a(x).relu()
        match self.how:
            case "checkpoint":
                h = checkpoint(lambda t: self.b(t).exp().tanh(), h, use_reentrant=False)
            case "reentrant":
                h = checkpoint(lambda t: self.b(t).exp().tanh(), h, use_reentrant=True)
            case "function":
                h = Own.apply(h)
            case "in place":
                h = self.b(h).relu_().mul_(2).sigmoid()
            case "expanded":
                h = h.sum(0, keepdim=True).expand(8, 64) * self.b(h)
            case "sparse":
                h = torch.sparse.mm(torch.eye(8).to_sparse(), self.b(h))
            case "views":
                h = torch.cat([h[:, :32] * h[:, 32:], h.view(4, 2, 64).reshape(8, 64)[:, :32].sin()], 1)
            case "tied":
                h = self.tied(self.b(h))
            case "detached":
                h = h + self.b(h).exp().detach()
            case "norm":
                h = self.norm(h)
            case "on cpu":
                with torch.autograd.graph.save_on_cpu():
                    h = self.b(h).exp()
        return h @ self.b.weight.t()


HOWS = ["plain", "checkpoint", "reentrant", "function", "in place", "expanded", "sparse", "views", "tied", "detached",
        "norm", "on cpu"]  # fmt: skip


@pytest.mark.parametrize("how", HOWS)
def test_the_hooks_and_the_walk_agree_to_the_byte(how: str):
    torch.manual_seed(0)
    model, x = Saving(how), torch.randn(8, 10)
    parts, total = saved_by_module(model, (x,), {}, model.parameters())
    assert total == sum(part.bytes for part in parts)
    assert total == memory.saved_bytes([model(x)], model.parameters())
    assert next(part.bytes for part in parts if part.path == "a") == 8 * 10 * 4  # the first layer saves its input


def test_what_is_known_in_advance_is_what_is_found():
    model, x = Saving("function"), torch.randn(8, 10)
    parts, _ = saved_by_module(model, (x,), {}, model.parameters())
    sizes = {part.path: part.bytes for part in parts}
    # relu's result, what Own saves, and its result for the last product; two tensors as attributes of ctx
    assert sizes == {"a": 8 * 10 * 4, "": 3 * 8 * 64 * 4, "(on ctx)": 2 * 8 * 64 * 4}


def test_sparse_tensors_count_what_they_hold_and_not_what_they_stand_for():
    weight = torch.randn(64, 1, requires_grad=True)
    output = torch.sparse.mm(torch.eye(1000)[:, :64].to_sparse(), weight)
    assert memory.saved_bytes([output], [weight]) == 64 * 2 * 8 + 64 * 4


def test_what_follows_a_part_that_raised_is_not_counted_for_it():
    class Raises(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            raise ValueError("caught")

    class Catches(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.bad, self.good = Raises(), nn.Linear(10, 64)

        def forward(self, x: Tensor) -> Tensor:
            with contextlib.suppress(ValueError):
                self.bad(x)
            return self.good(x).exp().exp()

    model, x = Catches(), torch.randn(8, 10)
    parts, _ = saved_by_module(model, (x,), {}, model.parameters())
    assert {part.path: part.bytes for part in parts} == {"": 2 * 8 * 64 * 4, "good": 8 * 10 * 4}


def test_looking_changes_nothing():
    model, x = Saving("norm"), torch.randn(8, 10)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    state = torch.get_rng_state()
    saved_by_module(model, (x,), {}, model.parameters())
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    assert torch.equal(state, torch.get_rng_state())
    assert not any(module._forward_hooks for module in model.modules())


def _account(keep: bool, runs_fired: int, model: nn.Module, *args: Tensor) -> tuple[MemoryAccount, Any]:
    before = memory.Before.take()
    bench, runs = bench_with(model, *args, keep_outputs=keep)
    fire(runs, runs_fired)
    return account(bench, runs, before, AccountMemory(), Sent().job), bench  # type: ignore[arg-type]


class Wide(nn.Module):
    """Eight megabytes of activation a run."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.head = nn.Linear(16, 1024), nn.Linear(1024, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.body(x).sigmoid())


def parts_add_up() -> bool:
    found, bench = _account(True, 5, Wide(), torch.randn(2048, 16))
    cpu = found.devices[0]
    assert sum(part.bytes for part in cpu.parts) == cpu.total
    sizes = {part.name: part.bytes for part in cpu.parts}
    activation = 2048 * 1024 * 4
    assert sizes["saved for backward"] == pytest.approx(5 * activation, rel=0.05)
    assert found.kept_outputs == 5
    assert sizes["outputs kept"] == pytest.approx(5 * 2048 * 4 * 4, rel=0.3)
    assert sizes["parameters"] == pytest.approx(sum(one.nbytes for one in bench.model.parameters()), rel=0.2)
    assert cpu.parts[-1].name == REST
    assert abs(sizes[REST]) < 30 << 20
    assert found.saved_bytes == pytest.approx(activation + 2048 * 16 * 4, rel=0.01)
    assert [part.path for part in found.saved][-1] == "body"
    assert words.top_words(found.saved).startswith(("the model itself 8.0 MB", "head 8.0 MB"))
    return True


def test_the_parts_add_up_and_the_graphs_of_kept_outputs_are_seen():
    assert told("test_account", "parts_add_up")


class Tall(nn.Module):
    """A graph of some sixty nodes."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Linear(64, 64)

    def forward(self, x: Tensor) -> Tensor:
        x = self.body(x)
        for _ in range(60):
            x = x.sin()
        return x


@pytest.mark.parametrize(("limit", "whole"), [(100, True), (30, False)])
def test_each_kept_output_is_walked_by_itself(limit: int, whole: bool, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(graph, "NODE_LIMIT", limit)
    found, _ = _account(True, 10, Tall(), torch.randn(64, 64))
    part = next(part for part in found.devices[0].parts if part.name == "saved for backward")
    assert ("at least" in part.words) is not whole
    expected = 10 * 60 * 64 * 64 * 4
    assert part.bytes == pytest.approx(expected, rel=0.05) if whole else part.bytes < 0.6 * expected


def test_outputs_that_hang_on_one_chain_have_one_limit(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(graph, "NODE_LIMIT", 25)
    state, outputs = torch.ones(2, requires_grad=True), []
    for _ in range(10):
        for _ in range(10):
            state = state.sin()
        outputs.append(state)
    nodes, whole = graph.nodes_behind_each(outputs)
    assert not whole
    assert len(nodes) < 40


def allocator_keeps() -> int:
    """Bytes that are said to be kept by the allocator; 0 where it keeps none."""
    before = memory.Before.take()
    bench, runs = bench_with(Wide(), torch.randn(8, 16))
    fire(runs, 2)
    blocks = [torch.ones(15_000) for _ in range(3000)]  # 60 kB each: from malloc's heap, not mapped by themselves
    pins = blocks[::100]
    del blocks
    held = memory.rss()
    memory.trim()
    if held - memory.rss() < 50 << 20:
        return 0
    blocks = [torch.ones(15_000) for _ in range(3000)]
    pins += blocks[::100]
    del blocks
    found = account(bench, runs, before, AccountMemory(), Sent().job)  # type: ignore[arg-type]
    sizes = {part.name: part.bytes for part in found.devices[0].parts}
    assert pins
    return sizes["freed, kept by the allocator"]


def test_what_the_allocator_keeps_is_a_part():
    kept = told("test_account", "allocator_keeps")
    if not kept:
        pytest.skip("this allocator keeps nothing that it gives back when asked")
    assert kept > 50 << 20


def test_a_leak_of_the_models_own_is_a_part():
    class Hoarding(Wide):
        kept: list[Tensor] = []  # noqa: RUF012

        def forward(self, x: Tensor) -> Tensor:
            answer = super().forward(x)
            self.kept.append(torch.ones(1 << 20))
            return answer

    try:
        found, _ = _account(False, 4, Hoarding(), torch.randn(8, 16))
        sizes = {part.name: part.bytes for part in found.devices[0].parts}
        assert sizes["other live tensors"] >= 4 * (4 << 20)
    finally:
        Hoarding.kept.clear()


def test_a_graph_that_the_model_itself_keeps_is_a_part_with_a_name():
    class Chained(Wide):
        def __init__(self) -> None:
            super().__init__()
            self.last = [torch.zeros(())]

        def forward(self, x: Tensor) -> Tensor:
            answer = super().forward(x + 0 * self.last[0])
            self.last = [answer.mean()]
            return answer

    found, _ = _account(False, 4, Chained(), torch.randn(1024, 16))
    sizes = {part.name: part.bytes for part in found.devices[0].parts}
    assert sizes["the model's own graph, behind last[0]"] >= 4 * 1024 * 1024 * 4


def test_a_model_that_does_not_run_with_grad_has_an_account_all_the_same():
    class Refuses(Wide):
        def forward(self, x: Tensor) -> Tensor:
            if torch.is_grad_enabled():
                raise ValueError("not with grad")
            return super().forward(x)

    before = memory.Before.take()
    bench, runs = bench_with(Refuses(), torch.randn(8, 16), grad="no_grad")
    fire(runs, 2)
    found = account(bench, runs, before, AccountMemory(), Sent().job)  # type: ignore[arg-type]
    assert found.saved_bytes == -1
    assert "not with grad" in found.saved_words
    assert "not with grad" in words.saved_heading(found)


def _counterfactual(**modes: Any) -> Any:
    recipe = Recipe(f"{MODELS}:Big", inputs=("x=float32[1024,10]",))
    return counterfactual(MeasureCounterfactual(recipe, Modes(training=False, **modes), runs=6), Sent().job)


def test_what_a_compilation_leaves_behind_is_no_memory():
    from torch._subclasses.fake_tensor import FakeTensorMode

    with FakeTensorMode():
        fake = torch.empty(1 << 28)
    found, _ = _account(False, 2, Wide(), torch.randn(8, 16))
    assert sum(part.bytes for part in found.devices[0].parts) == found.devices[0].total
    sizes = {part.name: part.bytes for part in found.devices[0].parts}
    assert sizes.get("other live tensors", 0) < fake.numel()


def test_the_same_runs_under_no_grad_are_run_and_not_assumed():
    found = _counterfactual(keep_outputs=True)
    activation = 1024 * 1024 * 4
    assert (found.present.grad, found.other.grad) == ("grad", "no_grad")
    assert (found.present.runs, found.other.runs) == (6, 6)
    assert found.present.slope == pytest.approx(2 * activation, rel=0.15)
    assert abs(found.other.slope) < activation / 8
    assert found.present.peak < 0 or found.present.peak > 5 * found.other.peak / 2
    assert "the same 6 runs under no_grad" in found.words


def test_under_no_grad_the_other_way_is_grad():
    found = _counterfactual(grad="no_grad")
    assert (found.present.grad, found.other.grad) == ("no_grad", "grad")
    assert "outputs dropped" in found.words


def test_a_climb_says_in_how_many_runs_memory_is_full():
    line = leak.fit([(run, run * 50 << 20) for run in range(20)])
    assert line is not None
    holding = leak.Holding(20, "grad", True, 20, 20, 50 << 20, 320)
    said = leak.explain(line, holding, available=5 << 30, seconds=0.012)
    assert said.full_in == pytest.approx(102, abs=1)
    assert said.full_seconds == pytest.approx(1.2, rel=0.1)
    assert said.full.startswith("At this slope the 5.0 GB that are left are full in 102 runs, 1 s of firing")
    flat = leak.fit([(run, 50 << 20) for run in range(20)])
    assert flat is not None
    assert leak.explain(flat, holding, 5 << 30, 0.012).full == ""
