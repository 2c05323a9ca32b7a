"""Compares two large tensors on demand; run as a child: `python big_tensors.py ELEMENTS`.

"compare" and "assert_close" answer with seconds, "extra" with the bytes by which memory rose above what it was
before the last of them.
"""

from __future__ import annotations

import resource
import sys
import time
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from workbench.worker.judge.compare import compare
from workbench.worker.judge.leaves import flatten

STATUS = Path("/proc/self/status")


def peak() -> int:
    """Highest resident memory since `forget_peak`, bytes; where /proc is missing, since the start."""
    if STATUS.exists():
        line = next(line for line in STATUS.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def forget_peak() -> None:
    clear = Path("/proc/self/clear_refs")
    if clear.exists():
        clear.write_text("5")


def main() -> None:
    generator = torch.Generator().manual_seed(0)
    a = torch.randn(int(sys.argv[1]), generator=generator)
    b = a * (1 + 1e-7)  # within every tolerance, identical almost nowhere
    extra = 0
    print("ready", flush=True)
    for line in sys.stdin:
        word = line.strip()
        if word == "extra":
            print(extra, flush=True)
            continue
        forget_peak()
        before, began = peak(), time.perf_counter()
        if word == "compare":
            _, leaves = compare(flatten(a), flatten(b))
            assert leaves[0].elements == a.numel()
        else:
            torch.testing.assert_close(b, a)
        print(time.perf_counter() - began, flush=True)
        extra = peak() - before


if __name__ == "__main__":
    main()
