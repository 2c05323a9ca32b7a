"""The same runs under the present grad mode and under the other: what memory does in each, measured and not assumed.

Runs in a worker of its own, built from the recipe and a snapshot of the state: nothing on the bench is touched, and its
allocator has no past.
"""

from __future__ import annotations

import time
from typing import Any

from workbench.protocol.memory import Counterfactual, Growth, MeasureCounterfactual
from workbench.protocol.model import ModeChange, Modes
from workbench.worker.bench import modes as switches
from workbench.worker.bench.load import build
from workbench.worker.job import Job
from workbench.worker.judge import leak, memory
from workbench.worker.judge.cells import Ground
from workbench.worker.judge.peak import Peak
from workbench.worker.judge.snapshot import untouched_model

RESERVE = 0.15
"""Share of the memory that must stay free: kept outputs end there."""
LEAST = 3
"""Runs below which a slope says nothing."""


def counterfactual(request: MeasureCounterfactual, job: Job) -> Counterfactual:
    """Measure both. Raises `WorkbenchError` when the model cannot be built or put in its modes, and what it raises."""
    built = build(request.recipe, job, request.state)
    modes = request.modes
    change = ModeChange(
        training=modes.training, flips=modes.flips, dtype=modes.dtype, device=modes.device, threads=modes.threads
    )
    now = switches.apply(built.model, built.example, switches.read_modes(built.model), change)
    args, kwargs = built.example.sample(built.example.seed)
    ground = Ground(built.model, args, kwargs, now.device, built.example.seed)
    other = "no_grad" if modes.grad == "grad" else "grad"
    _once(ground, other)  # what the first call alone takes is no part of either
    frugal, dear = sorted((modes.grad, other), key=lambda grad: grad == "grad")
    measured = {grad: _grow(ground, modes, grad, request, job) for grad in (frugal, dear)}
    present, against = measured[modes.grad], measured[other]
    return Counterfactual(present, against, now.device, words(present, against))


def _once(ground: Ground, grad: str) -> None:
    with untouched_model(ground.model, ground.args, ground.kwargs), switches.grad_context(grad):
        ground.model(*ground.args, **ground.kwargs)


def _grow(ground: Ground, modes: Modes, grad: str, request: MeasureCounterfactual, job: Job) -> Growth:
    """`request.runs` runs under `grad`, outputs kept or dropped as on the bench."""
    kept: list[Any] = []
    points: list[tuple[int, int]] = []
    began = time.monotonic()
    with untouched_model(ground.model, ground.args, ground.kwargs), Peak(ground.device) as peak:
        for run in range(request.runs):
            job.progress(f"{request.runs} runs under {grad}", run, request.runs)
            if points and _must_stop(len(points), time.monotonic() - began, request):
                break
            with switches.grad_context(grad):
                output = ground.model(*ground.args, **ground.kwargs)
            if modes.keep_outputs:
                kept.append(output)
            del output
            memory.trim()
            points.append((run, _held(ground.device)))
    kept.clear()
    memory.give_back()
    return Growth(grad, modes.keep_outputs, len(points), leak.slope(points), peak.bytes)


def _must_stop(done: int, seconds: float, request: MeasureCounterfactual) -> bool:
    available, whole = memory.available()
    if whole and available < RESERVE * whole:
        return True
    return done >= LEAST and bool(request.budget) and seconds * (done + 1) / done > request.budget / 2


def _held(device: str) -> int:
    use = memory.cuda_use(device)
    return use.allocated if use is not None else memory.anonymous()


def words(present: Growth, other: Growth) -> str:
    """Both in one sentence."""
    kept = "kept" if present.keep else "dropped"
    return (
        f"with outputs {kept}, under {present.grad}: {_growth(present)}; "
        f"the same {other.runs} runs under {other.grad}: {_growth(other)}"
    )


def _growth(one: Growth) -> str:
    # a page or two is no growth
    slope = one.slope if abs(one.slope) > 4096 else 0.0
    peak = f", peak {leak.size(one.peak)}" if one.peak >= 0 else ""
    return f"{'+' if slope >= 0 else '−'}{abs(slope) / (1 << 20):.1f} MB a run{peak}"
