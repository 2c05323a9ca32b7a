"""The small net with dropout that the story is told on: in train mode it answers differently each time.

    workbench sample_models/story.py:Net --weights sample_models/story.safetensors

Fire it twice as constructed: train mode draws a new dropout mask each run, so the answers part.
Press `e` for eval: now they are identical, but with grad on every run still builds a graph.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

FEATURES = 10
CLASSES = 10


class Net(nn.Module):
    """A classifier of ten classes: two hidden layers, half of their units dropped while training."""

    def __init__(self, width: int = 64) -> None:
        super().__init__()
        self.fc1 = nn.Linear(FEATURES, width)
        self.drop1 = nn.Dropout(0.5)
        self.fc2 = nn.Linear(width, width)
        self.drop2 = nn.Dropout(0.5)
        self.head = nn.Linear(width, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        x = self.drop1(torch.relu(self.fc1(x)))  # [batch, features] -> [batch, width]
        x = self.drop2(torch.relu(self.fc2(x)))
        return self.head(x)  # [batch, classes], logits
