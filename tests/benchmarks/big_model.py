"""A model of many equal linear layers, and a bare script that writes and reads its checkpoint.

    python big_model.py FILE LAYERS

"write" makes the file; "read" builds the model on meta, reads all of the file into fresh tensors and assigns them, and
answers with the seconds: the least that is safe from a file that changes. It must be the first read of its process, for
the allocator keeps memory that was used before, which costs the system nothing to give again and is no full read of a
checkpoint any more. "hash" tells what its sha256 alone costs, and "touch" uses as much memory as the file has and lets
go of it.
"""

from __future__ import annotations

import ctypes
import hashlib
import json
import sys
import time
from pathlib import Path

import torch
from torch import Tensor, nn

WIDTH = 2048


class Big(nn.Module):
    """`layers` linear layers of 2048 × 2048, 16 MiB each."""

    def __init__(self, layers: int = 8) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(WIDTH, WIDTH, bias=False) for _ in range(layers))

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = torch.relu(layer(x))
        return x


def write(path: Path, layers: int) -> None:
    """The checkpoint as .safetensors, every layer with the same random numbers."""
    numbers = torch.randn(WIDTH, WIDTH).mul_(0.02)
    block = bytes(memory_of(numbers))
    header = {
        f"layers.{index}.weight": {
            "dtype": "F32",
            "shape": [WIDTH, WIDTH],
            "data_offsets": [index * len(block), (index + 1) * len(block)],
        }
        for index in range(layers)
    }
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as stream:
        stream.write(len(text).to_bytes(8, "little") + text)
        for _ in range(layers):
            stream.write(block)


def memory_of(tensor: Tensor) -> ctypes.Array[ctypes.c_char]:
    """The bytes of a contiguous tensor, writable in place."""
    return (ctypes.c_char * (tensor.numel() * tensor.element_size())).from_address(tensor.data_ptr())


def read(path: Path, layers: int) -> None:
    """A full read with meta and assign."""
    with torch.device("meta"):
        model = Big(layers)
    with path.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        header = json.loads(stream.read(length))
        state = {}
        for name, entry in header.items():
            first, last = entry["data_offsets"]
            state[name] = torch.empty(entry["shape"], dtype=torch.float32)
            got = stream.readinto(memory_of(state[name]))
            assert got == last - first, name
    model.load_state_dict(state, assign=True)


def main() -> None:
    path, layers = Path(sys.argv[1]), int(sys.argv[2])
    print("ready", flush=True)
    for line in sys.stdin:
        began = time.perf_counter()
        if line.strip() == "write":
            write(path, layers)
        elif line.strip() == "hash":
            with path.open("rb") as stream:
                hashlib.file_digest(stream, "sha256")
        elif line.strip() == "touch":
            torch.ones(path.stat().st_size // 4)
        else:
            read(path, layers)
        print(time.perf_counter() - began, flush=True)


if __name__ == "__main__":
    main()
