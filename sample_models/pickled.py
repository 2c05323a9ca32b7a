"""Why a model is saved as a state_dict: a pickled module fails where its source is missing.

    python sample_models/pickled.py

`torch.save(model)` writes the name of the class, not the class. Where that name cannot be imported the file is
worth nothing; the state_dict is a table of tensors and loads into the architecture wherever that lies now.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import torch
from torch import Tensor, nn

LOAD_WHOLE = "import sys, torch; torch.load(sys.argv[1], weights_only=False)"
LOAD_STATE = """
import importlib.util, sys, torch
spec = importlib.util.spec_from_file_location("moved_elsewhere", sys.argv[2])
architecture = importlib.util.module_from_spec(spec)
spec.loader.exec_module(architecture)
architecture.Net().load_state_dict(torch.load(sys.argv[1], weights_only=True))
"""


class Net(nn.Module):
    """One linear layer is enough."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(x)


def save_both(folder: Path) -> tuple[Path, Path]:
    """Save one model twice: as a pickled module, which nobody should ship, and as a state_dict."""
    model = Net()
    whole, state = folder / "whole.pt", folder / "state.pt"
    torch.save(model, whole)
    torch.save(model.state_dict(), state)
    return whole, state


def load_elsewhere(code: str, *arguments: Path) -> str:
    """Run `code` in a clean interpreter that has torch but not this file; "loads", or its last line of error."""
    command = [sys.executable, "-I", "-c", code, *map(str, arguments)]
    ended = subprocess.run(command, cwd=arguments[0].parent, capture_output=True, text=True, check=False)
    return "loads" if ended.returncode == 0 else ended.stderr.strip().splitlines()[-1]


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        whole, state = save_both(Path(name))
        print(f"pickled module, without its source:   {load_elsewhere(LOAD_WHOLE, whole)}")
        print(f"state_dict, architecture as a file:   {load_elsewhere(LOAD_STATE, state, Path(__file__).resolve())}")


if __name__ == "__main__":
    main()
