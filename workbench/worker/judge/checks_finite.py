"""Owns the checks on NaN and infinity: in the answers to ordinary and to edge inputs, in parameters and buffers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from workbench.protocol.artifacts import CheckRow
from workbench.worker.bench.failing import first_line, users_place
from workbench.worker.bench.inputs import Argument
from workbench.worker.bench.sampling import map_tensors
from workbench.worker.bench.words import counted, some
from workbench.worker.job import Cancelled
from workbench.worker.judge.breaking import all_finite, first_breaking, not_finite_counts, stored
from workbench.worker.judge.checks_places import located, watching
from workbench.worker.judge.checks_run import Subject
from workbench.worker.judge.leaves import flatten
from workbench.worker.judge.replay import BATCH_NORM
from workbench.worker.judge.taken import VAST, Answer, not_looked_at, taken_apart

SEEDS = 8
"""Ordinary inputs that are tried."""

LARGE, SMALL = 1e4, 1e-6
"""Factors of the edge inputs "large" and "small" where no domain was declared."""

EDGES: dict[str, Callable[[torch.Tensor, float, float], torch.Tensor]] = {
    "zeros": lambda x, low, high: torch.zeros_like(x),
    "ones": lambda x, low, high: torch.ones_like(x),
    "large": lambda x, low, high: x * LARGE if high == float("inf") else torch.full_like(x, high),
    "small": lambda x, low, high: x * SMALL if low == -float("inf") else torch.full_like(x, low),
    "negative": lambda x, low, high: -x.abs(),
}
"""Edge inputs by name: a tensor and its domain in, the edge out."""

NARROW_MASK = 1
"""An integer input whose range is this wide is taken for a mask: one of all zeros is no input of a healthy model."""


def check_finite(subject: Subject) -> CheckRow:
    """Ordinary inputs give finite answers; so do edge inputs inside the declared domain, and outside they are told."""
    bench = subject.bench
    inputs, undecided = 0, True
    thinned = masked = ""
    for number in subject.times(SEEDS):
        seed = bench.recipe.seed + number
        args, kwargs = (subject.args, subject.kwargs) if number == 0 else subject.example.sample(seed)
        output = subject.forward(args, kwargs)
        answer = taken_apart(output)
        inputs, thinned = inputs + 1, answer.thinned + not_looked_at(answer)
        undecided = undecided and not any(_inexact(leaf) for _, leaf in answer.leaves)
        if bad := _bad(answer) or _bad_between(output, answer):
            if _masked(subject, answer, args, kwargs):
                masked = " But for minus infinity that the forward writes down, as a mask does."
                continue
            cause = _first_not_finite(subject, args, kwargs)
            remedy = "Look at the inputs of that module: an overflow, a log or a division."
            return subject.failed(f"Seed {seed}: {bad}", cause, remedy)
    if undecided:
        return subject.skipped(f"The model answers with nothing that could be NaN or infinite.{thinned}")
    tried, missed, row = _edges(subject)
    if row is not None:
        return row
    if missed:
        reason = f"The declared domain's edges {', '.join(missed)} were not asked within {subject.budget:g} s."
        return subject.skipped(reason, "Give it more time: --timeout.")
    more = f" Edge inputs inside the declared domain too: {', '.join(tried)}." if tried else ""
    return subject.passed(f"All elements finite on {counted(inputs, 'input')}.{masked}{more}{thinned}")


def _edges(subject: Subject) -> tuple[list[str], list[str], CheckRow | None]:
    """The edges inside the domain that were held, those there was no time for, and the row of one that was not held.
    Those outside become findings."""
    held: list[str] = []
    missed: list[str] = []
    outside: dict[str, str] = {}
    for name in EDGES:
        made = _edge(subject, name)
        if made is None:
            continue
        args, kwargs, inside = made
        if subject.spent > 0.8 or not subject.room_for(1):
            missed += [name] if inside else []
            continue
        subject.job.progress(f"check {subject.id}: {name}")
        try:
            output = subject.forward(args, kwargs)
            answer = taken_apart(output)
            bad, cause = _bad(answer) or _bad_between(output, answer), ""
            if bad and _masked(subject, answer, args, kwargs):
                bad = ""
        except Cancelled:
            raise
        except Exception as problem:  # noqa: BLE001 (the user's forward, on an input that we made up)
            bad, cause = f"it raises {first_line(problem)}", users_place(problem)
        if not bad:
            held += [name] if inside else []
        elif inside:
            cause = cause or _first_not_finite(subject, args, kwargs)
            words = f"Input of {name}, inside the declared domain: {bad}"
            return (
                held,
                missed,
                subject.failed(words, cause, "Mend it, or declare a narrower domain: --input 'x=…{low..high}'."),
            )
        else:
            outside[name] = bad
    if outside:
        words = "; ".join(f"{name}: {bad.rstrip('.')}" for name, bad in outside.items())
        remedy = "Declare the domain, and those inside it vote: domain = { x = [low, high] }."
        subject.found("edge_inputs", f"Edge inputs, no domain declared for them: {words}.", remedy)
    return held, missed, None


def _edge(subject: Subject, name: str) -> tuple[Any, Any, bool] | None:
    """(args, kwargs, whether every value lies in a declared domain) of one edge; None where there is nothing to set."""
    example = subject.example
    args, kwargs = example.sample(subject.bench.recipe.seed)
    positional = iter(args)
    inside, touched = True, False
    made_args, made_kwargs = [], {}
    for argument in example.arguments:
        value = kwargs[argument.name] if argument.keyword else next(positional)
        domain = _domain(subject, argument)
        low, high = domain or (-float("inf"), float("inf"))

        said = argument.name in subject.policy.domain

        def one(
            tensor: torch.Tensor, low: float = low, high: float = high, known: bool = bool(domain), said: bool = said
        ) -> torch.Tensor:
            nonlocal inside, touched
            whole = not (tensor.is_floating_point() or tensor.is_complex())
            if tensor.dtype == torch.bool or (whole and (not known or high - low <= NARROW_MASK)):
                return tensor
            edge = EDGES[name](tensor, low, high)
            if known and not tensor.is_complex():
                edge = edge.clamp(low, high)
            edge = edge.to(tensor.dtype)
            if edge.is_floating_point():  # a large one may not leave a narrow dtype
                edge = edge.nan_to_num(nan=0.0)
            # the range of whole numbers says which exist; that all may be the same one, only a domain does
            inside, touched = inside and known and (not whole or said), True
            return edge

        made = map_tensors(value, one)
        if argument.keyword:
            made_kwargs[argument.name] = made
        else:
            made_args.append(made)
    return (tuple(made_args), made_kwargs, inside) if touched else None


def _domain(subject: Subject, argument: Argument) -> tuple[float, float] | None:
    """What was declared for an input: by the policy, or by a range in a spec that somebody gave."""
    if argument.name in subject.policy.domain:
        return subject.policy.domain[argument.name]
    spec = argument.spec
    if spec is None or spec.low is None or spec.high is None or argument.origin != "given":
        return None
    return spec.low, spec.high


def _bad(answer: Answer) -> str:
    """What is not finite in an answer; empty when nothing is."""
    for path, leaf in answer.leaves:
        if not all_finite(leaf):
            nan, infinite, total = not_finite_counts(leaf)
            return f"{nan} NaN and {infinite} infinite of {total} elements in {path}."
    return ""


def _bad_between(output: Any, answer: Answer) -> str:
    """What is not finite in a vast output between the elements that `answer` has of it; empty when nothing is."""
    if not answer.thinned:
        return ""
    kept = dict(answer.leaves)
    for path, leaf in flatten(output).leaves:
        if kept[path].shape == leaf.shape or not _inexact(leaf):
            continue
        # what was expanded holds each element once
        once = leaf.detach()[tuple(slice(0, 1) if step == 0 else slice(None) for step in leaf.stride())]
        parts = once.reshape(-1).chunk(-(-once.numel() // VAST)) if once.is_contiguous() else (once,)
        if not all(all_finite(part) for part in parts):
            return f"NaN or infinite elements in {path}, of {leaf.numel()}."
    return ""


def _masked(subject: Subject, answer: Answer, args: Any, kwargs: Any) -> bool:
    """Whether nothing but minus infinity is not finite, and no operator made it: it was written down, as a mask is."""
    real = [part for _, leaf in answer.leaves if not all_finite(leaf) for part in stored(leaf)]
    if any(leaf.is_complex() or not _inert(leaf) for leaf in real):
        return False
    return not first_breaking(subject.bench.model, lambda: subject.forward(args, kwargs), "")


def _inexact(leaf: torch.Tensor) -> bool:
    return leaf.is_floating_point() or leaf.is_complex()


def _first_not_finite(subject: Subject, args: Any, kwargs: Any) -> str:
    model = subject.bench.model
    tensors = [*model.named_parameters(), *model.named_buffers()]
    held = [name for name, tensor in tensors if not _inert(tensor.detach())]
    if held:
        return f"Not finite in the weights themselves: {some(held, 4)}."
    found: list[str] = []
    place = ""
    clean: list[bool] = []

    def before(path: str, module: nn.Module, inputs: Any) -> None:
        clean.append(all(all_finite(leaf) for _, leaf in flatten(inputs).leaves))

    def after(path: str, module: nn.Module, output: Any) -> None:
        nonlocal place
        if clean.pop() and not found and not all(all_finite(leaf) for _, leaf in flatten(output).leaves):
            found.append(path)
            place = located(path, module)

    with watching(model, before, after):
        subject.forward(args, kwargs)
    if not found:
        return "The inputs themselves are not finite."
    operator = first_breaking(model, lambda: subject.forward(args, kwargs), found[0])
    return f"First: {place}, from finite inputs.{f' The operator: {operator}.' if operator else ''}"


def _inert(tensor: torch.Tensor) -> bool:
    """Finite, or a mask: nothing but minus infinity beside finite values, and no NaN."""
    if all_finite(tensor):
        return True
    return not_finite_counts(tensor)[0] == 0 and not any(bool((part == float("inf")).any()) for part in stored(tensor))


def check_parameters_finite(subject: Subject) -> CheckRow:
    """No parameter and no buffer holds NaN or infinity, but for buffers whose infinities are meant.

    A mask of 0 and minus infinity is meant, in a parameter too. Another infinite buffer (an observer's range, a limit,
    a bias with minus infinity in it) is meant when the answers stay finite; running statistics never are.
    """
    model = subject.bench.model
    statistics = {
        f"{path}.{name}".lstrip(".")
        for path, module in model.named_modules()
        if isinstance(module, BATCH_NORM)
        for name in ("running_mean", "running_var")
    }
    buffers = {name: tensor.detach() for name, tensor in model.named_buffers()}
    parameters = {name: tensor.detach() for name, tensor in model.named_parameters() if not _lazy(tensor)}
    bad: list[str] = []
    masks: list[str] = []
    open_question: list[str] = []
    for name, tensor in {**parameters, **buffers}.items():
        subject.job.progress(f"check {subject.id}")
        if all_finite(tensor):
            continue
        nan, infinite, total = not_finite_counts(tensor)
        words = f"{name} ({nan} NaN, {infinite} infinite of {total})"
        if not nan and name not in statistics and _is_mask(tensor):
            masks.append(words)
        elif nan or name in parameters or name in statistics:
            bad.append(words)
        else:
            open_question.append(words)
    if open_question and not bad:
        answer = subject.answer()
        (masks if all(all_finite(leaf) for _, leaf in answer.leaves) else bad).extend(open_question)
    meant = f" Infinite on purpose, with finite answers or as a mask: {some(masks, 4)}." if masks else ""
    if bad:
        remedy = "Load another checkpoint, or find the step that broke it: a diverged update, an overflow in a cast."
        return subject.failed(f"Not finite: {some(bad, 6)}.{meant}", "The values themselves are broken.", remedy)
    if not parameters and not buffers:
        return subject.passed("The model has no parameters and no buffers.")
    counts = f"{counted(len(parameters), 'parameter')} and {counted(len(buffers), 'buffer')}"
    return subject.passed(f"Finite: {counts}.{meant}")


def _is_mask(tensor: torch.Tensor) -> bool:
    """Nothing but 0 and minus infinity, both of them."""
    if not tensor.is_floating_point() or tensor.layout is not torch.strided:
        return False
    zero, infinite = tensor == 0, tensor == -float("inf")
    return bool((zero | infinite).all()) and bool(zero.any())


def _lazy(parameter: torch.Tensor) -> bool:
    return bool(nn.parameter.is_lazy(parameter))
