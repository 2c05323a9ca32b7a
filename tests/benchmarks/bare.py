"""The other side of a comparison: torch and a model with nothing around them, in a process that waits its turn.

    python bare.py FILE:CLASS SHAPES GRAD THREADS

SHAPES is a JSON list of float32 shapes. Reads a command a line and answers with a number: "loop N" runs N forwards
and tells the seconds, "timer" tells the median seconds of one forward by torch.utils.benchmark.
"""

from __future__ import annotations

import importlib.util
import json
import sys
import time
from contextlib import AbstractContextManager

import torch
from torch import nn
from torch.utils.benchmark import Timer

GRAD = {"grad": torch.enable_grad, "no_grad": torch.no_grad, "inference_mode": torch.inference_mode}


def model_of(target: str) -> nn.Module:
    path, _, name = target.rpartition(":")
    spec = importlib.util.spec_from_file_location("bare_model", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    made = getattr(module, name)()
    assert isinstance(made, nn.Module)
    return made


def main() -> None:
    target, shapes, grad, threads = sys.argv[1:]
    torch.manual_seed(0)
    torch.set_num_threads(int(threads))
    model = model_of(target).eval()
    inputs = [torch.randn(shape) for shape in json.loads(shapes)]
    context: AbstractContextManager[object] = GRAD[grad]()
    with context:
        print("ready", flush=True)
        for line in sys.stdin:
            word, *count = line.split()
            if word == "timer":
                timer = Timer("model(*inputs)", globals={"model": model, "inputs": inputs}, num_threads=int(threads))
                print(timer.blocked_autorange(min_run_time=1.0).median, flush=True)
                continue
            began = time.perf_counter()
            for _ in range(int(count[0])):
                model(*inputs)
            print(time.perf_counter() - began, flush=True)


if __name__ == "__main__":
    main()
