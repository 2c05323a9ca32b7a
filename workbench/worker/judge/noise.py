"""Owns the float64 yardstick: how far eager's own answers stand from the same model computed in float64.

The measured model is left as it was: the float64 run has a deep copy, and what eager's forwards move (buffers,
flags, generators) is put back. It judges nothing.
"""

from __future__ import annotations

import math
import time
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from workbench.protocol.failures import WorkbenchError
from workbench.protocol.messages import MeasureNoise
from workbench.protocol.model import ModeChange
from workbench.protocol.runs import BEYOND, LeafDiff, LeafNoise, Yardstick
from workbench.worker.bench.failing import failed_in
from workbench.worker.bench.inputs import Example
from workbench.worker.bench.modes import apply, generators_kept, read_modes, set_flags
from workbench.worker.bench.sampling import map_tensors, tensors_in
from workbench.worker.job import Job
from workbench.worker.judge.compare import compare, relative_error
from workbench.worker.judge.leaves import Flat, flatten
from workbench.worker.judge.pieces import bytes_of
from workbench.worker.judge.replay import Generators
from workbench.worker.judge.snapshot import untouched_model
from workbench.worker.judge.store import same_bits
from workbench.worker.judge.twin import NoYardstick, float64_twin, twins
from workbench.worker.judge.verdict import CaseError, judge, pool, verdict_eps

CASES = 16
"""Inputs that are pooled: one alone alarms on scalars, whose error may be zero by luck."""

FEW = 8
"""Elements below which the RMS of one output may be small by chance: 8 normal numbers have less than a tenth of their
usual RMS once in 10**8, one number once in 12."""

AGAIN, AGAIN_SECONDS = 5, 1.0
"""Runs of one input that must agree for a forward to repeat itself, and seconds after which two are enough: two alone
agree by luck where a forward takes the last digits of a clock that ticks seldom."""

HELD = 1 << 26
"""Bytes of inputs that stay alive meanwhile: a model that knows them by id() would mix them up, as if by rounding."""


def measure_noise(request: MeasureNoise, job: Job) -> Yardstick:
    """Build the recipe in the request's modes and measure it.

    Raises `WorkbenchError` when the model cannot be built, put in its modes, or run on its inputs.
    """
    from workbench.worker.bench.load import build

    built = build(request.recipe, job, request.state)
    modes = request.modes
    change = ModeChange(
        training=modes.training, flips=modes.flips, dtype=modes.dtype, device=modes.device, threads=modes.threads
    )
    apply(built.model, built.example, read_modes(built.model), change)
    return measure(built.model, built.example, job, budget=request.budget)


def measure(model: nn.Module, example: Example, job: Job, cases: int = CASES, budget: float = 0.0) -> Yardstick:
    """Eager's error against float64 over `cases` inputs, pooled by leaf, under no_grad and the model's own flags.

    A model that draws random numbers in train mode is measured in eval. With a `budget` in seconds, a model whose first
    case shows that all would take longer is not measured. Falls back to kind "tolerance", with the
    reason, where a float64 run does not exist or computes in less. Raises `WorkbenchError("forward")` when eager
    does not run, and `Cancelled`.
    """
    with untouched_model(model):
        try:
            note = _settle_randomness(model, example)
            _require_repeats(model, example)
            twin = float64_twin(model)
            return _pooled(model, twin, example, job, cases, note, budget)
        except NoYardstick as reason:
            return Yardstick("tolerance", reason=str(reason))


def _eager(model: nn.Module, args: Any, kwargs: Any, seed: int, held: list[Any] | None = None) -> Flat:
    """Eager's answer; the copies of the inputs that it was given are put into `held`."""
    args, kwargs = (map_tensors(value, lambda tensor: tensor.detach().clone()) for value in (args, kwargs))
    (held if held is not None else []).append((args, kwargs))
    with generators_kept(seed), torch.no_grad():
        flat = flatten(model(*args, **kwargs))
        # copies, for a model may answer with memory of its own that its next call writes to
        return replace(flat, leaves=[(path, leaf.detach().clone()) for path, leaf in flat.leaves])


def _settle_randomness(model: nn.Module, example: Example) -> str:
    """Put the model in eval when the forward draws in train mode; returns what to say about it."""
    with untouched_model(model):  # these forwards move the statistics of a model in train mode
        if not _answers_vary(model, example):
            return ""
    if any(module.training for module in model.modules()):
        set_flags(model, False, ())
        if not _answers_vary(model, example):
            return "measured in eval: in train mode the forward draws random numbers"
    raise NoYardstick("the forward draws random numbers, so eager and float64 answer different questions")


def _answers_vary(model: nn.Module, example: Example) -> bool:
    """Whether the answer depends on the generators."""
    args, kwargs = example.sample(example.seed)
    try:
        with generators_kept(0):
            before = Generators.take()
            with torch.no_grad():
                model(*(map_tensors(value, torch.clone) for value in args), **map_tensors(kwargs, torch.clone))
            if not before.moved(Generators.take()):
                return False
        one, other = (_eager(model, args, kwargs, seed) for seed in (1, 2))
    except Exception as problem:
        raise _does_not_run(problem) from problem
    if same_bits(one, other):
        return False
    structure, leaves = compare(one, other)
    return bool(structure) or any(leaf.mark == BEYOND for leaf in leaves)  # the rest cannot be compared


def _require_repeats(model: nn.Module, example: Example) -> None:
    """Raises `NoYardstick` for a forward that gives the same inputs another answer: what its hidden state or a clock
    makes of them would be taken for rounding, and would hide itself.

    Kernels that share an operator among threads may add up in another order: on the CPU one thread decides, elsewhere
    the tolerance.
    """
    args, kwargs = example.sample(example.seed)
    found: list[LeafDiff] = []
    kinds: set[str] = set()
    with untouched_model(model):
        for _ in range(2):
            try:
                pair = _apart(model, args, kwargs)
            except Exception as problem:
                raise _does_not_run(problem) from problem
            if pair is None or not pair[0].leaves:
                return
            found = [leaf for leaf in compare(*pair)[1] if leaf.mark == BEYOND]
            if not found:
                return  # the rest cannot be compared
            kinds = {tensor.device.type for _, tensor in pair[0].leaves}
            torch.set_num_threads(1)  # put back with the model
    if kinds == {"cpu"}:
        raise NoYardstick("the forward does not repeat its own answer, so what it differs by is no rounding")
    if any(judge(leaf, Yardstick("tolerance")).mark == BEYOND for leaf in found):
        raise NoYardstick("the forward does not repeat its own answer, by more than kernels differ")


def _apart(model: nn.Module, args: Any, kwargs: Any) -> tuple[Flat, Flat] | None:
    """The first of some answers to one input, and one that has other bits; None: all have the same."""
    began = time.monotonic()
    first = _eager(model, args, kwargs, 0)
    for number in range(1, AGAIN):
        if number > 1 and time.monotonic() - began > AGAIN_SECONDS:
            break
        other = _eager(model, args, kwargs, 0)
        if not same_bits(first, other):
            return first, other
    return None


def _pooled(
    model: nn.Module, twin: nn.Module, example: Example, job: Job, cases: int, note: str, budget: float
) -> Yardstick:
    errors: dict[str, list[CaseError]] = {}
    squares: dict[str, list[float]] = {}
    dtypes: dict[str, str] = {}
    held: list[Any] = []
    raised = 0
    began = time.monotonic()
    for case in range(cases):
        expected = (time.monotonic() - began) * cases
        if budget and case == 1 and expected > budget:
            raise NoYardstick(f"{cases} float64 runs would take {expected:.0f} s, more than the {budget:.0f} s given")
        job.progress("measuring eager's own noise against float64", case, cases)
        seed = example.seed + case
        args, kwargs = example.sample(seed)
        try:
            eager = _eager(model, args, kwargs, seed, held)
        except Exception as problem:
            if case == 0:
                raise _does_not_run(problem) from problem
            raised += 1
            continue
        if sum(bytes_of(tensor) for tensor in tensors_in(held)) > HELD:
            held.clear()
        for path, value, exact in twins(twin, eager, args, kwargs, seed, held):
            if not value.numel():
                continue  # an answer without elements, as of a detector that found nothing, has no rounding to pool
            dtype = eager.number_dtype if path in eager.numbers else value.dtype
            dtypes[path] = str(dtype).removeprefix("torch.")
            errors.setdefault(path, []).append(relative_error(value, exact, value))
            if exact.numel() < FEW:
                squares.setdefault(path, []).append(float(exact.abs().square().mean()))
    leaves = {path: pool(found, verdict_eps(dtypes[path])) for path, found in errors.items()}
    for path, found in squares.items():
        scale = math.sqrt(math.fsum(found) / len(found))
        leaves[path] = replace(leaves[path], scale=scale if math.isfinite(scale) else 0.0)
    on_cuda = any(parameter.is_cuda for parameter in model.parameters())
    return _yardstick(leaves, cases, raised, note, on_cuda)


def _yardstick(leaves: dict[str, LeafNoise], cases: int, raised: int, note: str, on_cuda: bool) -> Yardstick:
    known = {path: noise for path, noise in leaves.items() if noise.cases}
    if not known:
        return Yardstick("tolerance", reason="the float64 answers are zero everywhere: they have no scale")
    notes = [note] if note else []
    if raised:
        notes.append(f"{raised} of {cases} inputs made the model raise and were left out")
    if on_cuda and torch.backends.cuda.matmul.allow_tf32:
        notes.append("TF32 is on: eager's noise includes it")
    return Yardstick("float64", known, reason="; ".join(notes))


def _does_not_run(problem: Exception) -> WorkbenchError:
    return failed_in(problem, "forward", "The model does not run on its example inputs", "--input")
