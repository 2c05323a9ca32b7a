"""Saved-for-backward bytes against torch's own hooks, and the looks at this process."""

from __future__ import annotations

import gc
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from workbench.worker.judge import graph, memory


class Mlp(nn.Sequential):
    def __init__(self) -> None:
        super().__init__(nn.Linear(10, 32), nn.ReLU(), nn.Dropout(0.5), nn.Linear(32, 5))


class ConvNet(nn.Sequential):
    def __init__(self) -> None:
        super().__init__(
            nn.Conv2d(3, 8, 3),
            nn.BatchNorm2d(8),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Linear(72, 4),
        )


class Encoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(20, 16)
        layer = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True)
        self.body = nn.TransformerEncoder(layer, 2)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        return self.body(self.embed(ids))


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(6, 12, 2, bidirectional=True)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        output, (hidden, cell) = self.lstm(x)
        return output, hidden, cell


class Views(nn.Module):
    """In-place changes, views of one storage, a custom Function and a parameter that is frozen."""

    class Square(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x * x

        @staticmethod
        def backward(ctx, grad):
            (x,) = ctx.saved_tensors
            return 2 * x * grad

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(8, 8))
        self.frozen = nn.Parameter(torch.randn(8, 8), requires_grad=False)

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        hidden = torch.tanh(x @ self.weight) @ self.frozen
        left, right = hidden.chunk(2, dim=1)
        return [self.Square.apply(left) * right.sigmoid(), torch.logsumexp(hidden, 1), torch.cat([left, right]).std()]


CASES = {
    "mlp": (Mlp, lambda: torch.randn(4, 10)),
    "conv": (ConvNet, lambda: torch.randn(4, 3, 8, 8)),
    "transformer": (Encoder, lambda: torch.randint(0, 20, (2, 7))),
    "lstm": (Recurrent, lambda: torch.randn(5, 3, 6)),
    "views": (Views, lambda: torch.randn(4, 8)),
}


def tensors(output: object) -> list[torch.Tensor]:
    return [output] if isinstance(output, torch.Tensor) else list(output)


def by_hooks(model: nn.Module, x: torch.Tensor) -> tuple[int, list[torch.Tensor]]:
    """What torch hands to saved_tensors_hooks, storages counted once, parameters left out."""
    parameters = {p.untyped_storage().data_ptr() for p in model.parameters()}
    held: dict[int, torch.Tensor] = {}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        if tensor.untyped_storage().data_ptr() not in parameters:
            held[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        output = model(x)
    return sum(tensor.untyped_storage().nbytes() for tensor in held.values()), tensors(output)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("name", CASES)
def test_saved_bytes_match_the_hooks_byte_for_byte(name: str, training: bool) -> None:
    build, sample = CASES[name]
    torch.manual_seed(0)
    model, x = build().train(training), sample()
    expected, hooked = by_hooks(model, x)
    assert expected > 0
    assert memory.saved_bytes(tensors(model(x)), model.parameters()) == expected
    assert memory.saved_bytes(hooked, model.parameters()) == expected


def test_no_graph_holds_nothing() -> None:
    model = Mlp()
    with torch.no_grad():
        assert memory.saved_bytes([model(torch.randn(2, 10))], model.parameters()) == 0
    with torch.inference_mode():
        assert memory.saved_bytes([model(torch.randn(2, 10))], model.parameters()) == 0


def test_a_freed_graph_holds_nothing() -> None:
    model = Mlp()
    output = model(torch.randn(2, 10))
    output.sum().backward()
    assert memory.saved_bytes([output], model.parameters()) == 0


def test_checkpointed_activations_are_counted_without_running_them_again() -> None:
    calls = []
    layer = nn.Linear(8, 8)

    def body(x: torch.Tensor) -> torch.Tensor:
        calls.append(1)
        return layer(x).relu()

    output = checkpoint(body, torch.randn(4, 8, requires_grad=True), use_reentrant=False)
    memory.saved_bytes([output], layer.parameters())
    assert calls == [1]
    output.sum().backward()  # and the graph can still be used


def test_a_very_deep_graph_is_a_lower_bound_and_can_still_be_freed() -> None:
    x = torch.ones(4, requires_grad=True)
    shallow, deep = x, x
    for _ in range(100):
        shallow = shallow.exp()
    for _ in range(100_000):
        deep = deep.exp()
    assert memory.saved_of_graph([shallow]) == (100 * 16, True)
    assert memory.saved_of_graph([deep]) == (graph.NODE_LIMIT * 16, False)
    del deep


def test_this_process_is_seen() -> None:
    assert memory.rss() > memory.anonymous() > 1_000_000
    left, whole = memory.available()
    assert 0 < left <= whole
    memory.give_back()
    before = memory.anonymous()
    block = torch.ones(64 << 20, dtype=torch.uint8)
    assert memory.anonymous() - before > 60 << 20
    del block
    gc.collect()
    memory.give_back()
    assert memory.anonymous() - before < 16 << 20


def test_cuda_is_left_alone_elsewhere() -> None:
    assert memory.cuda_use("cpu") is None
    memory.reset_cuda_peak("cpu")
    assert not torch.cuda.is_initialized()


def test_the_tightest_of_all_control_groups_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inner = tmp_path / "user" / "job"
    inner.mkdir(parents=True)
    (inner / "memory.max").write_text("max\n")
    (inner / "memory.current").write_text("5\n")
    (tmp_path / "user" / "memory.max").write_text(f"{64 << 20}\n")
    (tmp_path / "user" / "memory.current").write_text(f"{60 << 20}\n")
    (tmp_path / "user" / "memory.stat").write_text(f"anon 5\ninactive_file {1 << 20}\n")
    monkeypatch.setattr(memory, "_GROUPS", str(tmp_path))
    monkeypatch.setattr(memory, "_paths", lambda: {"": "/user/job"})
    assert memory.available() == (5 << 20, 64 << 20)
    monkeypatch.setattr(memory, "_paths", lambda: {"": "/elsewhere"})
    assert memory.available() == memory._meminfo()
