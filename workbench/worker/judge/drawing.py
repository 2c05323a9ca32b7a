"""Where in the user's code global generators are drawn from or seeded: lines show it where operators do not."""

from __future__ import annotations

import random
import sys
from collections.abc import Callable, Iterable
from typing import Any

import torch

from workbench.worker.bench.modes import seed_generators
from workbench.worker.judge.lines import first_change
from workbench.worker.judge.replay import Generators


def first_draw(name: str, forward: Callable[[], Any]) -> str:
    """file.py:line of the user's that moves the global generator of `name` ("random" or "numpy") first, in one run of
    `forward`; empty where none was seen. Raises what the forward raises."""
    return first_change(_STATES[name], forward)


def reseeded(names: Iterable[str], forward: Callable[[], Any]) -> list[str]:
    """Those of `names` that `forward` leaves at one place wherever they began: it sets their seed. Leaves all of them
    moved."""
    states = []
    for seed in SEEDS:
        seed_generators(seed)
        forward()
        states.append(Generators.take())
    differ = states[0].moved(states[1])
    return [name for name in names if name not in differ]


def first_seeded(name: str, forward: Callable[[], Any]) -> str:
    """file.py:line of the user's that sets the seed of this generator; empty where none was seen."""
    seed_generators(SEEDS[0])
    return first_change(torch.initial_seed if name == "torch" else _STATES[name], forward)


SEEDS = (11, 12)
"""Two places to begin at, which hardly anybody's own seed is."""


def _numpy() -> Any:
    numpy_random = sys.modules.get("numpy.random")
    if numpy_random is None:
        return None
    _, key, position, *rest = numpy_random.get_state()
    return bytes(key), position, rest


_STATES: dict[str, Callable[[], Any]] = {"random": random.getstate, "numpy": _numpy}
