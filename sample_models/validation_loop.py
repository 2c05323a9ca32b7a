"""The quiz: a validation loop in eval mode sums its losses, and memory climbs with every batch. Why?

    python sample_models/validation_loop.py
    workbench sample_models/validation_loop.py:NetWithLoss --mode eval

`total += loss` keeps each loss, each loss keeps its graph, and each graph keeps the activations of its batch.
eval() does not stop that: it changes dropout and batch norm, not autograd. no_grad (or `loss.item()`) does.
In the workbench turn "keep outputs" on: with grad a run keeps megabytes for an output of four bytes.
"""

from __future__ import annotations

import resource
import sys
from pathlib import Path

import torch
from torch import Tensor, nn

CLASSES = 10
MIB = 2**20


class NetWithLoss(nn.Module):
    """A small convolutional classifier that ends in its own loss."""

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU(),
            nn.Conv2d(width, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU(),
            nn.Conv2d(width, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU(),
        )  # fmt: skip
        self.drop = nn.Dropout(0.5)
        self.head = nn.Linear(width, CLASSES)

    def forward(self, images: Tensor, labels: Tensor) -> Tensor:
        x = self.features(images).mean(dim=(2, 3))  # [batch, 3, height, width] -> [batch, channels]
        return nn.functional.cross_entropy(self.head(self.drop(x)), labels)  # []


def example_inputs() -> dict[str, Tensor]:
    """One batch of images with their labels."""
    return {"images": torch.randn(8, 3, 64, 64), "labels": torch.arange(8) % CLASSES}


def validate(model: nn.Module, batches: int, grad: bool) -> Tensor:
    """The mean loss over some batches, written as many validation loops are."""
    model.eval()
    total = torch.zeros(())
    with torch.set_grad_enabled(grad):
        for _ in range(batches):
            loss = model(**example_inputs())
            total += loss  # with grad: the sum remembers every loss, and so every graph
    return total / batches


def resident() -> int:
    """Bytes of memory this process holds now; on systems without /proc the most that it ever held."""
    statm = Path("/proc/self/statm")
    if statm.exists():
        return int(statm.read_text().split()[1]) * resource.getpagesize()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def growth(model: nn.Module, batches: int, grad: bool) -> float:
    """Bytes that memory grew by per batch while the loop's result was alive."""
    before = resident()
    total = validate(model, batches, grad)
    after = resident()
    del total
    return (after - before) / batches


def main(batches: int = 8) -> None:
    torch.manual_seed(0)
    model = NetWithLoss()
    validate(model, 2, grad=False)  # the first batches allocate what every later one uses again
    print(f"no_grad: {growth(model, batches, grad=False) / MIB:+7.1f} MB a batch")
    print(f"grad:    {growth(model, batches, grad=True) / MIB:+7.1f} MB a batch, for a loss of 4 bytes")


if __name__ == "__main__":
    main()
