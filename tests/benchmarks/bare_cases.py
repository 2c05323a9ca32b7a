"""The runs of a bundle's cases and nothing else; and a bundle of one kind of case made longer or shorter.

    python bare_cases.py more BUNDLE CASES
    python bare_cases.py run BUNDLE

"more" gives the bundle so many cases, the first one over and over, with the digests that belong to them. "run" loads
the program, answers "ready", and then to each line the seconds of one forward on the first case's inputs: the median
of twenty.
"""

from __future__ import annotations

import copy
import hashlib
import json
import statistics
import sys
import time
from pathlib import Path

import torch

from workbench.worker.tensorfile import load, save

FORWARDS = 20


def more(bundle: Path, cases: int) -> None:
    """Case 0 `cases` times, in golden data and manifest."""
    golden, manifest = bundle / "golden.safetensors", bundle / "manifest.json"
    first = {name.removeprefix("case.00."): tensor for name, tensor in load(str(golden)).items() if "case.00." in name}
    save(str(golden), {f"case.{at:02d}.{name}": tensor for at in range(cases) for name, tensor in first.items()})
    said = json.loads(manifest.read_text())
    said["cases"] = [copy.deepcopy(said["cases"][0]) for _ in range(cases)]
    data = golden.read_bytes()
    said["files"]["golden.safetensors"] = {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
    manifest.write_text(json.dumps(said))


def run(bundle: Path) -> None:
    kind = json.loads((bundle / "manifest.json").read_text())["kind"]
    program = (
        torch.jit.load(str(bundle / "model.ts"))
        if kind == "trace"
        else torch.export.load(bundle / "model.pt2").module()
    )
    tensors = load(str(bundle / "golden.safetensors"))
    x = tensors["case.00.input.x"]
    print("ready", flush=True)
    with torch.no_grad():
        for _ in sys.stdin:
            print(statistics.median(seconds_of(program, x) for _ in range(FORWARDS)), flush=True)


def seconds_of(program: torch.nn.Module, x: torch.Tensor) -> float:
    began = time.perf_counter()
    program(x)
    return time.perf_counter() - began


if __name__ == "__main__":
    if sys.argv[1] == "more":
        more(Path(sys.argv[2]), int(sys.argv[3]))
    else:
        run(Path(sys.argv[2]))
