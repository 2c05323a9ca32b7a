"""The smallest fault that is always seen, as a multiple of the noise that eager itself has.

Two kinds of error are added to a healthy answer: one that is spread over all elements, in multiples of the RMS of
eager's own error, and one in a single element, in multiples of eager's largest. Judged as `workbench compare` does.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from tests.corpus.cases import Healthy
from tests.corpus.engine import recipe_of, stand
from workbench.protocol.runs import BEYOND, LeafNoise
from workbench.worker.judge.compare import compare
from workbench.worker.judge.leaves import Flat, flatten
from workbench.worker.judge.verdict import judge_all

STEPS = (1.0, 1.5, 2.0, 2.5, 3.0, 3.5, 4.0, 4.5, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0, 12.0, 15.0, 20.0, 30.0, 50.0, 100.0)
SEEDS = 20
PROBED = ("Mlp", "Residual", "Deep", "Vision", "Encoder", "Tied", "Slow", "Score")
"""Deep and shallow, of many elements and of few."""


@dataclass(frozen=True)
class Smallest:
    """What is always seen of one model in one dtype."""

    model: str
    dtype: str
    noise: float
    """RMS of eager's own error relative to the output's, in eps of the dtype."""
    spread: float
    """Smallest multiple of that RMS, spread over all elements, that was seen under every seed; infinite: none was."""
    one: float
    """Smallest multiple of eager's largest error, in one element."""


def smallest(case: Healthy, dtype: str) -> Smallest | None:
    """Add errors until they are always seen; None for a model without a float64 yardstick."""
    on = stand(recipe_of(case), **({} if dtype == case.dtypes[0] else {"dtype": dtype}))
    yardstick = on.runs.yardstick
    if yardstick.kind != "float64":
        return None
    with torch.no_grad():
        answer = flatten(on.bench.model(*on.bench.args, **on.bench.kwargs))
    path, leaf = next((path, leaf) for path, leaf in answer.leaves if path in yardstick.leaves)
    noise = yardstick.leaves[path]
    whole = Flat("", [(path, leaf)])

    def seen(error: Callable[[torch.Generator], torch.Tensor]) -> bool:
        for seed in range(SEEDS):
            wide = leaf.to(torch.complex128 if leaf.is_complex() else torch.float64)
            wrong = (wide + error(torch.Generator().manual_seed(seed))).to(leaf.dtype)
            if judge_all(*compare(whole, Flat("", [(path, wrong)])), yardstick)[0] != BEYOND:
                return False
        return True

    size = float(leaf.abs().double().square().mean().sqrt())
    spread = (k for k in STEPS if seen(lambda source, k=k: _spread(leaf, k * noise.rms * size, source)))  # type: ignore
    one = (k for k in STEPS if seen(lambda source, k=k: _one(leaf, k * noise.largest * size, source)))  # type: ignore
    infinity = float("inf")
    return Smallest(case.title, dtype, _in_eps(noise), next(spread, infinity), next(one, infinity))


def _in_eps(noise: LeafNoise) -> float:
    return noise.rms / noise.eps


def _spread(leaf: torch.Tensor, rms: float, source: torch.Generator) -> torch.Tensor:
    drawn = torch.randn(leaf.shape, generator=source, dtype=torch.float64)
    return drawn * (rms / drawn.square().mean().sqrt())


def _one(leaf: torch.Tensor, size: float, source: torch.Generator) -> torch.Tensor:
    error = torch.zeros(leaf.shape, dtype=torch.float64).flatten()
    error[int(torch.randint(leaf.numel(), (), generator=source))] = size
    return error.reshape(leaf.shape)
