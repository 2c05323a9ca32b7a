"""Models whose artifacts go wrong in ways that look like something else."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Vector(nn.Module):
    """Two layers on vectors of any length."""

    def __init__(self, width: int = 30) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(width, 8), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.b(torch.relu(self.a(x)))


class Pooled(nn.Module):
    """Of most pixels it sees how large they are at most."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 8, 3, 2), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(8, 8, 3), nn.GELU())
        self.fc = nn.Linear(200, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.body(x).flatten(1))


class Sigmoid(Vector):
    """The same with another activation, on halves."""

    def forward(self, x: Tensor) -> Tensor:
        return self.b(torch.sigmoid(self.a(x.half().float())))


class Autocast(Vector):
    """All of it in bfloat16."""

    def forward(self, x: Tensor) -> Tensor:
        a, b = ((one.weight.bfloat16(), one.bias.bfloat16()) for one in (self.a, self.b))
        return F.linear(torch.relu(F.linear(x.bfloat16(), *a)), *b).float()


class Scaled(Vector):
    """The weights of the first layer are others inside the graph."""

    def forward(self, x: Tensor) -> Tensor:
        return self.b(torch.relu(F.linear(x, self.a.weight * 1.05, self.a.bias)))


class Attention(nn.Module):
    """No weights."""

    def __init__(self, scale: float | None = None) -> None:
        super().__init__()
        self.scale = scale

    def forward(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return F.scaled_dot_product_attention(q, k, v, scale=self.scale)


class Soft(nn.Module):
    """Softmax of a layer without a bias."""

    def __init__(self, temperature: float = 1.0) -> None:
        super().__init__()
        self.fc, self.temperature = nn.Linear(5, 3, bias=False), temperature

    def forward(self, x: Tensor) -> Tensor:
        return torch.softmax(self.fc(x) / self.temperature, -1)


class Biased(Soft):
    """The same with a bias."""

    def __init__(self, temperature: float = 1.0) -> None:
        super().__init__(temperature)
        self.fc = nn.Linear(5, 3)


class Peak(nn.Module):
    """The same in whatever order its values come."""

    def __init__(self, wrong: bool = False) -> None:
        super().__init__()
        self.wrong = wrong

    def forward(self, x: Tensor) -> Tensor:
        peak = torch.cos(x.amax() * 3 + 1) if self.wrong else x.amax()
        return peak * torch.ones(2)


class Baked(Vector):
    """The example's values in place of x."""

    def __init__(self, width: int = 30) -> None:
        super().__init__(width)
        self.register_buffer("example", torch.randn(4, width), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(self.example) + 0 * x.sum()
