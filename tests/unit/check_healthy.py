"""Healthy models that a careless check would accuse; loaded by path, as a user's file would be."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn import functional as F


class Masked(nn.Module):
    """Attention with a causal mask of minus infinity as a buffer; answers with a dict that holds its cache."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(50, 16)
        self.qkv = nn.Linear(16, 48)
        self.head = nn.Linear(16, 50)
        self.register_buffer("mask", torch.full((64, 64), float("-inf")).triu(1), persistent=False)

    def forward(self, ids: torch.Tensor) -> Any:
        q, k, v = self.qkv(self.embed(ids)).chunk(3, -1)
        size = ids.shape[1]
        weights = (q @ k.transpose(-1, -2) / 4 + self.mask[:size, :size]).softmax(-1)
        return {"logits": self.head(weights @ v), "past": ((k, v),), "hidden": None}


class Normed(nn.Module):
    """Convolution and batch norm, with an integer buffer that counts."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(inplace=True))
        self.head = nn.Linear(8, 5)

    def forward(self, x: torch.Tensor) -> Any:
        return self.head(self.body(x).mean((2, 3)))


class Recurrent(nn.Module):
    """Returns its state in the place of keeping it."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(6, 8, num_layers=2, batch_first=True, bidirectional=True)

    def forward(self, x: torch.Tensor) -> Any:
        y, (h, c) = self.lstm(x)
        return y, h, c


class Half(nn.Module):
    """bfloat16, with a norm whose parameters are float32, and logits that are widened on purpose."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(6, 16).bfloat16(), nn.Linear(16, 4).bfloat16()
        self.weight = nn.Parameter(torch.ones(16))

    def forward(self, x: torch.Tensor) -> Any:
        y = self.first(x.to(torch.bfloat16))
        wide = y.float()
        y = self.weight * (wide * wide.pow(2).mean(-1, keepdim=True).add(1e-6).rsqrt()).to(y.dtype)
        return self.last(y.to(torch.bfloat16)).float()


class Rotary(nn.Module):
    """Complex rotations of the model's own precision, filled on the first call."""

    def __init__(self) -> None:
        super().__init__()
        self.project = nn.Linear(8, 8)
        self.angles: torch.Tensor | None = None

    def forward(self, x: torch.Tensor) -> Any:
        if self.angles is None or self.angles.shape[0] < x.shape[1]:
            steps = torch.outer(torch.arange(x.shape[1], device=x.device), torch.ones(4, device=x.device))
            self.angles = torch.polar(torch.ones_like(steps), steps)
        y = torch.view_as_complex(self.project(x).unflatten(-1, (4, 2)).contiguous())
        return torch.view_as_real(y * self.angles[: x.shape[1]]).flatten(-2)


class Classes(nn.Module):
    """Integers, booleans and floats."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(6, 4)

    def forward(self, x: torch.Tensor) -> Any:
        y = self.linear(x)
        return {"class": y.argmax(-1), "top": y.topk(2).indices, "sure": y.softmax(-1).max(-1).values > 0.5, "y": y}


class Forces(nn.Module):
    """Takes a gradient inside of its forward."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(6, 1)

    def forward(self, x: torch.Tensor) -> Any:
        with torch.enable_grad():
            x = x.detach().requires_grad_()
            energy = self.linear(x).tanh().sum()
            (force,) = torch.autograd.grad(energy, x)
        return {"energy": energy.detach(), "force": force}


class Whole(nn.Module):
    """Takes no batch: one vector of six in, one number out."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(6, 1)

    def forward(self, x: torch.Tensor) -> Any:
        return self.linear(x).squeeze()


class Signal(nn.Module):
    """One signal of any length, with its mean taken off: its first dimension is time."""

    def __init__(self) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(1))

    def forward(self, x: torch.Tensor) -> Any:
        return (x - x.mean()) * self.gain


class Observed(nn.Module):
    """A range that begins at infinity, as an observer's does, and one number in float64."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(6, 4)
        self.register_buffer("low", torch.tensor(float("inf")))
        self.register_buffer("high", torch.tensor(float("-inf")))
        self.register_buffer("temperature", torch.tensor(2.0, dtype=torch.float64))

    def forward(self, x: torch.Tensor) -> Any:
        return self.linear(x) / self.temperature


class Encoder(nn.Module):
    """torch's own encoder, with its fast path."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.TransformerEncoder(nn.TransformerEncoderLayer(16, 2, 32, batch_first=True), 2)

    def forward(self, x: torch.Tensor) -> Any:
        return self.encoder(x)


class Unbatched(nn.Module):
    """Attention over one sequence without a batch."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(16, 2, batch_first=True)

    def forward(self, x: torch.Tensor) -> Any:
        return self.attention(x, x, x, need_weights=False)[0]


class Packed(nn.Module):
    """Sends lengths to the CPU, as packing wants them."""

    def __init__(self) -> None:
        super().__init__()
        self.gru = nn.GRU(6, 4, batch_first=True)

    def forward(self, x: torch.Tensor) -> Any:
        lengths = torch.full((x.shape[0],), x.shape[1]).cpu()
        packed = nn.utils.rnn.pack_padded_sequence(x, lengths, batch_first=True)
        return nn.utils.rnn.pad_packed_sequence(self.gru(packed)[0], batch_first=True)[0]


class Lazy(nn.Module):
    """Makes its positions when it is first asked."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(6, 4)

    def forward(self, x: torch.Tensor) -> Any:
        if not hasattr(self, "positions"):
            self.register_buffer("positions", torch.arange(4.0, device=x.device), persistent=False)
        return self.linear(x) + self.positions


def scripted() -> nn.Module:
    return torch.jit.script(nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 4)))


def quantised() -> nn.Module:
    model = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 4))
    return torch.ao.quantization.quantize_dynamic(model, {nn.Linear})  # type: ignore


class Interpolates(nn.Module):
    """Answers with as many rows as twice the batch."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(6, 4)

    def forward(self, x: torch.Tensor) -> Any:
        return F.gelu(self.linear(x)).repeat_interleave(2, 0)
