"""A program whose model is captured, or not: one process, so that both meet the same weather.

    python captured.py FILE:CLASS SHAPES FOLDER

SHAPES is a JSON list of float32 shapes. Reads a command a line and answers with a number: "loop N" runs N forwards and
tells the seconds, "longest N" those of the longest of N, "watch EVERY" begins a recording of at most 32 calls, each so
many-th one, "samples" tells how many it has, "close" ends it and tells the seconds.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import torch
from bare import model_of

from workbench import capture
from workbench.recorder.record import Recorder


def main() -> None:
    target, shapes, folder = sys.argv[1:]
    torch.manual_seed(0)
    torch.set_num_threads(1)
    model = model_of(target).eval()
    inputs = [torch.randn(shape) for shape in json.loads(shapes)]
    recorders: list[Recorder] = []
    print("ready", flush=True)
    with torch.no_grad():
        for number, line in enumerate(sys.stdin):
            word, *count = line.split()
            began = time.perf_counter()
            answer = 0.0
            if word == "loop":
                for _ in range(int(count[0])):
                    model(*inputs)
            elif word == "longest":
                for _ in range(int(count[0])):
                    start = time.perf_counter()
                    model(*inputs)
                    answer = max(answer, time.perf_counter() - start)
            elif word == "watch":
                recorders.append(capture.watch(model, str(Path(folder) / f"{number}.capture"), every=int(count[0])))
            elif word == "samples":
                answer = recorders[-1].samples
            else:
                recorders[-1].close()
                assert not recorders[-1].why, recorders[-1].why
            print(answer or time.perf_counter() - began, flush=True)


if __name__ == "__main__":
    main()
