"""The process that times files: every way of looking into one and of loading it, beside the packages' own.

    python -m tests.benchmarks.files FOLDER MIB

Answers with one JSON object: {name: seconds}. Each way runs in shuffled order; the file is in the page cache.
"""

from __future__ import annotations

import json
import random
import statistics
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import torch

from workbench.protocol.messages import Inspect
from workbench.worker import tensorfile
from workbench.worker.artifact.inspect import inspect, look
from workbench.worker.bench import weights
from workbench.worker.job import Job

TENSORS = 64
ROUNDS = 5


def main(folder: Path, mib: int) -> None:
    warnings.simplefilter("ignore")
    paths = write(folder, mib)
    ways = ways_of(paths)
    order = [name for name in ways for _ in range(ROUNDS)]
    random.Random(0).shuffle(order)
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for name in [*ways, *order]:  # once each to warm up
        began = time.perf_counter()
        kept = ways[name]()
        seconds[name].append(time.perf_counter() - began)
        del kept
    print(json.dumps({name: statistics.median(found[1:]) for name, found in seconds.items()}))


def write(folder: Path, mib: int) -> dict[str, str]:
    """The same tensors in both formats."""
    size = (mib << 18) // TENSORS
    state = {f"layers.{place}.weight": torch.randn(size) for place in range(TENSORS)}
    paths = {"pt": str(folder / "big.pt"), "safetensors": str(folder / "big.safetensors")}
    torch.save(state, paths["pt"])
    tensorfile.save(paths["safetensors"], state)
    return paths


def ways_of(paths: dict[str, str]) -> dict[str, Callable[[], object]]:
    """What is timed. Loading ends with every value read: a mapping alone has read nothing."""
    job = Job(1, lambda body, number: None)
    ways: dict[str, Callable[[], object]] = {}
    for form, path in paths.items():
        ways[f"inspect {form}"] = lambda path=path: inspect(Inspect(path), job)  # type: ignore[misc]
        ways[f"header {form}"] = lambda path=path: look(Path(path), job)  # type: ignore[misc]
        ways[f"bytes {form}"] = lambda path=path: len(Path(path).read_bytes())  # type: ignore[misc]
        ways[f"read {form}"] = lambda path=path: touched(weights.read(path, hashed=False).tensors)  # type: ignore[misc]
    ways["torch.load pt"] = lambda: touched(torch.load(paths["pt"], weights_only=True))
    try:
        from safetensors import safe_open
        from safetensors.torch import load_file
    except ImportError:
        return ways

    def keys() -> object:
        with safe_open(paths["safetensors"], "pt") as opened:
            return [(name, opened.get_slice(name).get_shape()) for name in opened.keys()]  # noqa: SIM118

    ways["safe_open safetensors"] = keys
    ways["load_file safetensors"] = lambda: touched(load_file(paths["safetensors"]))
    return ways


def touched(tensors: dict[str, torch.Tensor]) -> float:
    """Read one value of each page."""
    return sum(float(tensor.reshape(-1)[::1024].sum()) for tensor in tensors.values())


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
