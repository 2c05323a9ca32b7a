"""What somebody would write to look whether a bundle's program still answers as it did; timed from start to end.

    python -I bare_proof.py BUNDLE

Imports torch, loads the program, runs every golden case, compares with torch.allclose. Exit code 1 when one differs.
"""

from __future__ import annotations

import ctypes
import json
import sys
from pathlib import Path

import torch
from torch import Tensor


def tensors(path: Path) -> dict[str, Tensor]:
    """The float32 and int64 tensors of a .safetensors file."""
    data = bytearray(path.read_bytes())
    start = 8 + int.from_bytes(data[:8], "little")
    header = json.loads(data[8:start])
    header.pop("__metadata__", None)
    found = {}
    for name, entry in header.items():
        if entry["dtype"] not in ("F32", "I64"):
            continue
        first, last = entry["data_offsets"]
        tensor = torch.empty(entry["shape"], dtype=torch.float32 if entry["dtype"] == "F32" else torch.int64)
        ctypes.memmove(tensor.data_ptr(), bytes(data[start + first : start + last]), last - first)
        found[name] = tensor
    return found


def main() -> None:
    bundle = Path(sys.argv[1])
    program = torch.export.load(bundle / "model.pt2").module()
    golden = tensors(bundle / "golden.safetensors")
    cases = sorted({name.split(".")[1] for name in golden if ".output." in name})
    same = 0
    with torch.no_grad():
        for case in cases:
            output = program(golden[f"case.{case}.input.x"])
            same += torch.allclose(output, golden[f"case.{case}.output.output"], rtol=1e-4, atol=1e-5, equal_nan=True)
    print(f"{same} of {len(cases)} cases")
    sys.exit(same != len(cases))


if __name__ == "__main__":
    main()
