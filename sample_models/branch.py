"""A branch that depends on the data: a trace bakes in one side, an export refuses.

    workbench sample_models/branch.py:Branch

Export it with `trace`: tracing only warns, and the artifact is right for every input that happens to take
the side that was traced. The proof tries other inputs, so it finds the other side.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Branch(nn.Module):
    """Two linear layers, of which the sign of the input's sum chooses one."""

    def __init__(self, features: int = 8) -> None:
        super().__init__()
        self.up = nn.Linear(features, features)
        self.down = nn.Linear(features, features)

    def forward(self, x: Tensor) -> Tensor:
        if x.sum() > 0:
            return torch.relu(self.up(x))
        return torch.tanh(self.down(x))
