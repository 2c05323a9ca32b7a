"""A convolutional net with batch norm and dropout: batch statistics, and activations worth counting.

    workbench sample_models/cnn.py:Cnn --weights sample_models/cnn.safetensors

In train mode batch norm uses the statistics of the batch and moves its buffers with every run, so the
model on the bench is no longer the checkpoint. In eval with grad the weights are small but what the graph
keeps is not: each run saves tens of megabytes of activations, and keeping outputs keeps them all.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

CLASSES = 10


class Block(nn.Module):
    """Convolution, batch norm, ReLU at constant width and size, added to its input."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(width)

    def forward(self, x: Tensor) -> Tensor:
        return x + torch.relu(self.norm(self.conv(x)))


class Cnn(nn.Module):
    """Ten classes from colour images of any size; few weights, large activations."""

    def __init__(self, width: int = 32, depth: int = 4) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU())
        self.body = nn.Sequential(*(Block(width) for _ in range(depth)))
        self.drop = nn.Dropout(0.5)
        self.head = nn.Linear(width, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        x = self.body(self.stem(x))  # [batch, 3, height, width] -> [batch, channels, height, width]
        x = x.mean(dim=(2, 3))  # [batch, channels]
        return self.head(self.drop(x))  # [batch, classes], logits


def example_inputs() -> dict[str, Tensor]:
    """One batch of images; the size cannot be read off a convolution's weights."""
    return {"x": torch.randn(4, 3, 64, 64)}
