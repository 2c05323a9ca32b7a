"""Models for comparisons: one small net, and its relatives that answer otherwise in one way each."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


class Net(nn.Module):
    def __init__(self, width: int = 16, rate: float = 0.5) -> None:
        super().__init__()
        self.fc1, self.drop, self.fc2 = nn.Linear(10, width), nn.Dropout(rate), nn.Linear(width, 10)

    def forward(self, x: Tensor) -> Any:
        return self.fc2(self.drop(self.fc1(x).relu()))


class Reordered(Net):
    """The same mathematics in another order of additions."""

    def forward(self, x: Tensor) -> Any:
        hidden = self.drop(self.fc1(x).relu())
        weight = self.fc2.weight
        half = weight.shape[1] // 2
        return hidden[:, half:] @ weight[:, half:].T + (hidden[:, :half] @ weight[:, :half].T + self.fc2.bias)


class Shifted(Net):
    def forward(self, x: Tensor) -> Any:
        return super().forward(x) + 1e-3


class Tree(Net):
    def forward(self, x: Tensor) -> Any:
        return {"logits": super().forward(x)}


class Whole(Net):
    def forward(self, x: Tensor) -> Any:
        return super().forward(x).argmax(-1)


class Nothing(Net):
    def forward(self, x: Tensor) -> Any:
        return None


class Hole(Net):
    def forward(self, x: Tensor) -> Any:
        return super().forward(x).index_fill(1, torch.tensor(3), float("nan"))


class Sparse(Net):
    def forward(self, x: Tensor) -> Any:
        return super().forward(x).to_sparse()


class KernelLayout(Net):
    def forward(self, x: Tensor) -> Any:
        return super().forward(x).to_mkldnn()


class FixedRows(Net):
    def forward(self, x: Tensor) -> Any:
        return super().forward(x.reshape(4, 10))


class Counter(Net):
    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    def forward(self, x: Tensor) -> Any:
        self.calls += 1
        return super().forward(x) * self.calls


class Rows(nn.Module):
    """Takes whole numbers only."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(10, 4)

    def forward(self, ids: Tensor) -> Any:
        return self.table(ids)


class OtherName(Net):
    """The same, with another name for its argument."""

    def forward(self, picture: Tensor) -> Any:  # type: ignore[override]
        return super().forward(picture)


class Wide(nn.Module):
    """An answer of 4 MB."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, x: Tensor) -> Any:
        return (x.sum() * self.scale).expand(1_000_000)
