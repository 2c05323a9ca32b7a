"""A model that prints: from Python, to stderr, and straight to the descriptor as C code does.

    workbench sample_models/prints.py:Prints

Every line arrives in the log pane, numbered by its run; none of them reaches the terminal or the pipe between
the processes. The last one carries escape codes that would ring the bell and turn a terminal red.
"""

from __future__ import annotations

import os
import sys

from torch import Tensor, nn


class Prints(nn.Module):
    """One linear layer that tells of every forward in four ways."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(6, 3)
        self.runs = 0

    def forward(self, x: Tensor) -> Tensor:
        self.runs += 1
        print(f"print: run {self.runs}, input {tuple(x.shape)}")
        print(f"stderr: run {self.runs}", file=sys.stderr)
        os.write(1, f"descriptor 1: run {self.runs}\n".encode())  # not through sys.stdout: what C code does
        print(f"\a\x1b[31mescape codes: run {self.runs}\x1b[0m")
        return self.fc(x)
