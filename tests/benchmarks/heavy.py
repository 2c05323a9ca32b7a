"""Models that hold much: what `workbench.capture` must not write while one of their forwards waits."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn


class _Small(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(64, 64)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out = self.fc(x)
        assert isinstance(out, torch.Tensor)
        return out


class State(_Small):
    """A state of 60 MB: about the largest that is written with the first call."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.randn(15, 1 << 20))


class LargerState(_Small):
    """A state of 240 MB, which is written at the end."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.randn(60, 1 << 20))


class Tensor(_Small):
    """200 MB in a plain attribute, as a cache or a replay buffer."""

    def __init__(self) -> None:
        super().__init__()
        self.memory = torch.randn(50, 1 << 20)


class Array(_Small):
    """40 MB of numpy's."""

    def __init__(self) -> None:
        super().__init__()
        self.memory = np.zeros((10, 1 << 20), np.float32)


class Texts(_Small):
    """A list of 500,000 texts, as a dataset or a vocabulary."""

    def __init__(self) -> None:
        super().__init__()
        self.words = [f"word {number}" for number in range(500_000)]


class Layers(nn.Module):
    """400 modules of torch's and nothing else, about as many objects as are weighed."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(*(nn.Sequential(nn.Linear(64, 64), nn.ReLU()) for _ in range(133)))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out = self.body(x)
        assert isinstance(out, torch.Tensor)
        return out
