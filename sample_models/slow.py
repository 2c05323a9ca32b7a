"""A forward of about two seconds, in many small steps: for the clock, the cancel key, and a face that stays quick.

    workbench sample_models/slow.py:Slow
    workbench sample_models/slow.py:Slow --kwargs '{"steps": 400}'

Fire it and press the cancel key: it ends between two steps, and the model stays on the bench.
"""

from __future__ import annotations

import time

import torch
from torch import Tensor, nn


class Slow(nn.Module):
    """One linear layer, applied `steps` times with a pause of `pause` seconds each time."""

    def __init__(self, steps: int = 40, pause: float = 0.05) -> None:
        super().__init__()
        self.steps = steps
        self.pause = pause
        self.mix = nn.Linear(16, 16)

    def forward(self, x: Tensor) -> Tensor:
        for _ in range(self.steps):
            x = torch.tanh(self.mix(x))
            time.sleep(self.pause)
        return x
