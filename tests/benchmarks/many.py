"""A model file with as many modules as one asks for; written into a private folder, for trees of great size."""

from __future__ import annotations

from pathlib import Path

TARGET = "many.py:Many"
SOURCE = '''"""As many modules as one asks for, most of them idle."""

from torch import Tensor, nn


class Many(nn.Module):
    """`count` modules in stages of a hundred; the forward uses one of them."""

    def __init__(self, count: int = 1000) -> None:
        super().__init__()
        self.first = nn.Linear(4, 4)
        self.stages = nn.ModuleList(
            nn.ModuleList(nn.Identity() for _ in range(99)) for _ in range(count // 100)
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.first(x)
'''


def write_many(path: Path) -> None:
    path.write_text(SOURCE, "utf-8")
