"""An artifact's speed beside eager's, with eager beside itself as the control. Measures only; claims nothing.

Rounds are shuffled, because a machine drifts; the control says how far the ratio strays by noise alone.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from statistics import median

import torch

from workbench.protocol.artifacts import Speed
from workbench.worker.job import Job

BUDGET = 2.5
"""Seconds for everything, warm-up included, unless single calls take longer."""

ROUNDS = (5, 60)
"""Fewest and most rounds."""

BLOCK = 2e-3
"""Seconds that a timed block should last: below that the clock and the loop show."""

WARM_CALLS = 4
"""TorchScript optimises in its second and third call."""

SLOW = 0.5
"""Seconds a call from which warming up costs more than it tells."""

Call = Callable[[], object]


def measure_speed(eager: Call, artifact: Call, batch: int, job: Job, budget: float = BUDGET) -> Speed:
    """Time `eager`, `eager` again and `artifact` in shuffled rounds under no_grad. Raises `Cancelled`.

    Both are called without arguments. Times are medians in seconds a call; ratios are eager / artifact by round.
    """
    job.progress("measuring speed")
    started = time.perf_counter()
    calls = {"eager": eager, "control": eager, "artifact": artifact}
    with torch.no_grad():
        counts = {"eager": _warm(eager), "artifact": _warm(artifact)}
        counts["control"] = counts["eager"]
        times: dict[str, list[float]] = {name: [] for name in calls}
        order, shuffle = list(calls), random.Random(0)
        while len(times["eager"]) < ROUNDS[1]:
            spent = time.perf_counter() - started
            if (spent > budget and len(times["eager"]) >= ROUNDS[0]) or (spent > 4 * budget and times["eager"]):
                break
            shuffle.shuffle(order)
            for name in order:
                job.progress("measuring speed", min(spent, budget), budget)
                times[name].append(_block(calls[name], counts[name]))
    ratios = [one / other for one, other in zip(times["eager"], times["artifact"])]  # noqa: B905 (one a round)
    control = [one / other for one, other in zip(times["eager"], times["control"])]  # noqa: B905
    return Speed(
        eager=median(times["eager"]),
        artifact=median(times["artifact"]),
        ratio=median(ratios),
        low=_share(ratios, 0.1),
        high=_share(ratios, 0.9),
        control=median(control),
        control_low=_share(control, 0.1),
        control_high=_share(control, 0.9),
        rounds=len(ratios),
        threads=torch.get_num_threads(),
        batch=batch,
    )


def _warm(call: Call) -> int:
    """Call it until it has settled, or once when it is slow; how many calls make a block."""
    for _ in range(WARM_CALLS):
        once = _block(call, 1)
        if once > SLOW:
            break
    return max(1, min(1000, round(BLOCK / max(once, 1e-7))))


def _block(call: Call, count: int) -> float:
    """Seconds a call, over `count` calls; with the accelerator's work included."""
    started = time.perf_counter()
    for _ in range(count):
        call()
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        torch.cuda.synchronize()
    return (time.perf_counter() - started) / count


def _share(values: list[float], share: float) -> float:
    """The value that `share` of all values are below."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
